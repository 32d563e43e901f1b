"""The kinds of banks that tests put to use."""

# What a run is called here -> its options, and the folder below the run that holds its bank.
RUNS: dict[str, tuple[list[str], str]] = {
    "bits": (
        ["target=both", "layer=[conv4,conv5]", "protocol.classification.epochs=3"],
        "conv5",
    ),
    "best": (["protocol=best"], "."),
    "raw, random weights": (
        ["protocol.input=raw", "cache=none", "model.weights=null", "seed=3"],
        ".",
    ),
    "after, annotated, own network": (
        ["protocol=netdissect", "model=custom", "model._target_=support.small_networks.Tower"],
        ".",
    ),
}
