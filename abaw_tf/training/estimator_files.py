"""Fitted estimators in ``.npz`` files, which hold numbers and text only: opening one never runs code."""

import json
import zipfile
from pathlib import Path

import numpy as np
from sklearn.utils.validation import check_array, check_is_fitted


class SavedEstimator:
    """Mixin of a scikit-learn estimator whose learned attributes are arrays and numbers: `save`, `load` and `checked`.

    Attributes
    ----------
    saved_attributes : tuple of str
        Learned attributes without which a file is not that of the estimator; all others are saved as well.
    """

    saved_attributes = ()

    def save(self, path):
        """Write the fitted estimator to an ``.npz`` file, which holds numbers and text only: opening it never runs code.

        Raises
        ------
        TypeError
            A learned attribute or a parameter is something else; nothing is written.
        """
        check_is_fitted(self)
        learned = {name: value for name, value in vars(self).items() if name.endswith("_") and name[0] != "_"}
        learned = {name: _of_numbers_or_text(name, value) for name, value in learned.items()}
        parameters = json.dumps({name: _plain(value) for name, value in self.get_params().items()})
        with open(path, "wb") as file:
            np.savez_compressed(file, parameters=parameters, **learned)

    @classmethod
    def load(cls, path):
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            The file holds something else.
        """
        path = Path(path)
        try:
            with np.load(path, allow_pickle=False) as content:
                parameters = json.loads(str(content["parameters"]))
                estimator = cls(**{name: _of_plain(value) for name, value in parameters.items()})
                for name in {*content.files, *cls.saved_attributes} - {"parameters"}:
                    value = content[name]
                    setattr(estimator, name, value if value.ndim else value.item())
        except (AttributeError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: not a saved {cls.__name__}; train it again. Received: {error}") from error
        return estimator

    def checked(self, X, dtype):
        """The windows (n_windows, n_features) as an array; an error where they do not fit what the estimator has learned from."""
        check_is_fitted(self)
        X = check_array(X, dtype=dtype)
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} features as input. "
                f"Received: shape {X.shape}"
            )
        return X


def _of_numbers_or_text(name, value):
    """The value as an array that is saved without pickling; labels from pandas are Python objects until then."""
    array = np.asarray(value)
    if array.dtype.hasobject:
        array = np.array(array.tolist())
    if array.dtype.hasobject:
        raise TypeError(f"an .npz file holds numbers and text only. Received: {name}={value!r}")
    return array


def _plain(value):
    """Numbers and text as JSON knows them; a dictionary as a list of pairs, since its keys need not be text."""
    if isinstance(value, dict):
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    return value.item() if isinstance(value, np.generic) else value


def _of_plain(value):
    return dict(value) if isinstance(value, list) else value
