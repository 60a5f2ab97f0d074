"""What recipes of networks on single face images share: class-balanced drawing, augmentation, the classes that the datasets have."""

from dataclasses import dataclass, replace

from abaw_tf.training.fields import check_choices
from abaw_tf.training.needs import EPOCH_LENGTHS, Augmentation, Balance, Images
from abaw_tf.training.recipe import KerasRecipe, RecipeError


@dataclass(frozen=True)
class BalancedFacesRecipe(KerasRecipe):
    """Recipe of a network on face images that are drawn class by class.

    Attributes
    ----------
    image_size : int
        Height and width in pixels: 224, as the published networks have it.
    image_kind : str
        Crops of Aff-Wild2: ``"cropped"``, or ``"cropped_aligned"``.
    class_balanced : bool
        Draw the classes in turn; frames without a label of expression that have another one that is wanted are one class more.
    epoch_length : str
        Examples of an epoch then: the number of classes times the ``"average"`` (our choice), ``"min"`` or ``"max"`` size of a class.
    rotation : float
        Augmentation: largest rotation to either side, degrees.
    shift : float
        Augmentation: largest shift in either direction, as a share of the side.
    scale : float
        Augmentation: size from 1 - scale to 1 + scale.
    flip : bool
        Augmentation: mirror half of the images.
    """

    image_size: int = 224
    image_kind: str = "cropped"
    class_balanced: bool = True
    epoch_length: str = "average"
    rotation: float = 0.0
    shift: float = 0.0
    scale: float = 0.1
    flip: bool = True

    def __post_init__(self):
        super().__post_init__()
        check_choices(self, epoch_length=EPOCH_LENGTHS)
        if self.dataset == "faces" and len(self.classes) != 7:
            raise RecipeError(
                f"datasets of face images have no class {self.classes[-1]}: `edition` must be one with seven expressions (abaw1, abaw2). "
                f"Received: edition={self.edition!r}"
            )

    def inputs(self):
        return {"image": Images(self.image_size, self.image_kind)}

    def balance(self):
        return Balance(class_balanced=self.class_balanced, epoch_length=self.epoch_length)

    def augmentation(self):
        return Augmentation(rotation=self.rotation, flip=self.flip, shift=self.shift, scale=self.scale)


@dataclass(frozen=True)
class Do2020FacesRecipe(BalancedFacesRecipe):
    """Recipe of the ResNet-50 of Do et al. (2020). "Code" means what the authors published.

    Attributes
    ----------
    image_size : int
        224 pixels (code).
    image_kind : str
        Not aligned (code).
    blocks : tuple of int
        Residual blocks per stage: those of ResNet-50 (paper).
    width : int
        Filters of the first stage: those of ResNet-50 (code).
    learning_rate : float
        1e-4 (paper: "SGD, Adam", 1e-4; which one for which network is unknown).
    class_balanced : bool
        Paper, §I: "balance emotion sampling … on every batch". It leaves out frames without a label of expression.
    epoch_length : str
        Code has all three; which one was used is unknown.
    rotation : float
        Up to 45° (code).
    shift : float
        Up to .0625 (code).
    scale : float
        Size from .9 to 1.1 (code).
    affine_share : float
        Augmentation: share of the images that are rotated, shifted and resized: one half (the default of Albumentations, which the
        code does not change).
    centre : float
        Augmentation: the central 224 of 260 pixels (code: resized to 260, then cropped to 224; validation images are not cropped).
    flip : bool
        Mirror half of the images (code).
    border : str
        Augmentation: the picture is reflected at its border (as the default of Albumentations, which the code does not change).
    """

    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    width: int = 64
    learning_rate: float = 1e-4
    rotation: float = 45.0
    shift: float = 0.0625
    affine_share: float = 0.5
    centre: float = 224 / 260
    border: str = "reflect"

    def augmentation(self):
        return replace(super().augmentation(), share=self.affine_share, centre=self.centre, border=self.border)
