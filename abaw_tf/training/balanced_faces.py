"""What the recipes of Do et al. (2020) share: class-balanced face images, their augmentation, the size of the ResNet-50."""

from dataclasses import dataclass

from abaw_tf.training.fields import check_choices
from abaw_tf.training.needs import EPOCH_LENGTHS, Augmentation, Balance, Images
from abaw_tf.training.recipe import KerasRecipe


@dataclass(frozen=True)
class BalancedFacesRecipe(KerasRecipe):
    """Recipe of a ResNet-50 on face images that are drawn class by class. "Code" means what the authors published.

    Attributes
    ----------
    image_size : int
        224 pixels (code).
    image_kind : str
        Crops of Aff-Wild2: ``"cropped"``, not aligned (code).
    blocks : tuple of int
        Residual blocks per stage: those of ResNet-50 (paper).
    width : int
        Filters of the first stage: those of ResNet-50 (code).
    learning_rate : float
        1e-4 (paper: "SGD, Adam", 1e-4; which one for which network is unknown).
    class_balanced : bool
        Draw the classes in turn (paper, §I: "balance emotion sampling … on every batch"); frames without a label of
        expression that have another one that is wanted, which the paper leaves out, are one class more.
    epoch_length : str
        Examples of an epoch then: the number of classes times the ``"average"`` (our choice), ``"min"`` or ``"max"`` size of a class
        (code has all three; which one was used is unknown).
    rotation : float
        Augmentation: up to 45° to either side (code).
    shift : float
        Augmentation: up to .0625 of the side in either direction (code).
    scale : float
        Augmentation: size from .9 to 1.1 (code).
    affine_share : float
        Augmentation: share of the images that are rotated, shifted and resized: one half (the default of Albumentations, which the
        code does not change).
    centre : float
        Augmentation: the central 224 of 260 pixels (code: resized to 260, then cropped to 224; validation images are not cropped).
    flip : bool
        Augmentation: mirror half of the images (code).
    border : str
        Augmentation: the picture is reflected at its border (as the default of Albumentations, which the code does not change).
    """

    image_size: int = 224
    image_kind: str = "cropped"
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    width: int = 64
    learning_rate: float = 1e-4
    class_balanced: bool = True
    epoch_length: str = "average"
    rotation: float = 45.0
    shift: float = 0.0625
    scale: float = 0.1
    affine_share: float = 0.5
    centre: float = 224 / 260
    flip: bool = True
    border: str = "reflect"

    def __post_init__(self):
        super().__post_init__()
        check_choices(self, epoch_length=EPOCH_LENGTHS)

    def inputs(self):
        return {"image": Images(self.image_size, self.image_kind)}

    def balance(self):
        return Balance(class_balanced=self.class_balanced, epoch_length=self.epoch_length)

    def augmentation(self):
        return Augmentation(
            rotation=self.rotation,
            flip=self.flip,
            shift=self.shift,
            scale=self.scale,
            share=self.affine_share,
            centre=self.centre,
            border=self.border,
        )
