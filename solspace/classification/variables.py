"""What a classification, and one of simulated recordings, leave in the store."""

from __future__ import annotations

from solspace.population.variables import Variable

__all__ = ["CLASSIFICATION", "RECORDING_SIZE"]


def _score(name: str, dims: str, meaning: str, dtype: str = "float64", **more: object) -> Variable:
    group = str(more.pop("group", "classification"))
    return Variable(name, tuple(dims.split()), dtype, meaning, group=group, **more)  # type: ignore[arg-type]


def _bounds(name: str, dims: str, group: str = "classification") -> tuple[Variable, ...]:
    return tuple(
        _score(
            f"{name}_{end}", dims, f"{which} end of its 95 % interval over networks", group=group
        )
        for end, which in (("low", "lower"), ("high", "upper"))
    )


CLASSIFICATION = (
    *(
        _score(name, dims, meaning, dtype, coordinate=True)
        for name, dims, dtype, meaning in (
            ("feature_set", "feature_set", "U96", "set of features a model is given"),
            (
                "label_class",
                "label_class",
                "U160",
                "class, most common first; a value of the label",
            ),
            ("predicted_class", "predicted_class", "U160", "class, as predicted"),
            ("feature", "feature", "U96", "feature of activity"),
            ("feature_family", "feature", "U32", "family of the feature"),
            ("family", "family", "U32", "family of features"),
        )
    ),
    _score("kappa", "feature_set", "Cohen's kappa of held-out predictions, mean over repeats"),
    *_bounds("kappa", "feature_set"),
    _score("kappa_gain", "feature_set", "kappa less that of the first set, on the same folds"),
    *_bounds("kappa_gain", "feature_set"),
    _score("balanced_accuracy", "feature_set", "share predicted right, mean over classes"),
    _score("accuracy", "feature_set", "share of held-out networks predicted right"),
    _score("split_kappa", "feature_set repeat fold", "kappa of one split's held-out networks"),
    _score("model", "feature_set repeat fold", "model chosen in the split", "U32"),
    _score(
        "confusion",
        "feature_set label_class predicted_class",
        "held-out networks by class and predicted class, mean over repeats",
        units="networks",
    ),
    _score("calibration_count", "feature_set bin", "networks predicted with this confidence"),
    _score("calibration_confidence", "feature_set bin", "mean confidence; NaN in an empty bin"),
    _score("calibration_accuracy", "feature_set bin", "share predicted right; NaN in an empty bin"),
    _score("calibration_error", "feature_set", "expected calibration error"),
    _score("null_kappa", "feature_set permutation", "kappa of extra trees with labels permuted"),
    _score("null_observed", "feature_set", "kappa of extra trees with the labels as they are"),
    _score("p_value", "feature_set", "share of permutations, itself included, that reach it"),
    _score(
        "importance",
        "feature_set feature",
        "fall of kappa when the feature is dealt out anew; NaN where it is not in the set",
    ),
    _score(
        "family_importance",
        "feature_set family",
        "the same for a family at once; NaN where none of it is in the set",
    ),
    *(
        _score(
            f"{prefix}importance_{end}",
            f"feature_set {dim}",
            f"{which} end of the 95 % interval of {prefix}importance, networks drawn anew",
            optional=True,  # not in classifications of earlier versions
        )
        for prefix, dim in (("", "feature"), ("family_", "family"))
        for end, which in (("low", "lower"), ("high", "upper"))
    ),
    _score("in_set", "feature_set feature", "1 where the set holds the feature", "int8", fill=0),
    _score("label", "network", "position of its class; -1 left out", "int16"),
    _score("exclusion", "network", "why it was left out; empty where it was not", "U96"),
    _score("held_out_in", "repeat network", "fold it was held out in; -1 left out", "int16"),
    _score(
        "prediction",
        "feature_set repeat network",
        "position of the class predicted while it was held out; -1 left out",
        "int16",
    ),
    _score(
        "probability",
        "feature_set network label_class",
        "probability of each class while it was held out, mean over repeats; NaN left out",
    ),
)

_SIZE = "recorded_units recorded_trials"
RECORDING_SIZE = tuple(
    _score(name, dims, meaning, dtype, group="recording_size", coordinate=name in dims.split())
    for name, dims, dtype, meaning in (
        ("recorded_units", "recorded_units", "float64", "units recorded; infinity is all"),
        (
            "recorded_trials",
            "recorded_trials",
            "float64",
            "trials of each condition; infinity is the activity without spikes",
        ),
        ("label_class", "label_class", "U160", "class, most common first"),
        ("recorded_feature", "recorded_feature", "U96", "features used"),
        ("kappa", _SIZE, "float64", "Cohen's kappa of held-out predictions, mean over repeats"),
        ("kappa_low", _SIZE, "float64", "lower end of its 95 % interval over networks"),
        ("kappa_high", _SIZE, "float64", "upper end of its 95 % interval over networks"),
        ("balanced_accuracy", _SIZE, "float64", "share predicted right, mean over classes"),
        ("label", "network", "int16", "position of its class; -1 left out"),
        ("exclusion", "network", "U96", "why it was left out; empty where it was not"),
        (
            "prediction",
            f"{_SIZE} repeat network",
            "int16",
            "position of the class predicted while it was held out; -1 left out",
        ),
    )
)
