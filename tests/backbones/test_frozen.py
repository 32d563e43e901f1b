"""FrozenBackbone: what is read, when the network stops, and that nothing in it ever changes."""

from threading import Thread

import pytest
import torch
from torch import Tensor, nn

from net2vec_pl.backbones import FrozenBackbone, InputScaling, read_layers
from net2vec_pl.backbones.frozen import build_backbone
from net2vec_pl.backbones.weights import weights_digest
from net2vec_pl.errors import BackboneError

UNIT = InputScaling.named("unit")


class Tower(nn.Module):
    """Convolution, in-place ReLU, batch norm, one ReLU called twice, and a head not to run."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 5, 1)
        self.shared = nn.ReLU(inplace=True)
        self.head = nn.Linear(5, 2)
        self.ran: list[str] = []

    def forward(self, image: Tensor) -> Tensor:
        x = self.norm(self.relu(self.conv(image)))
        self.ran.append("norm")
        x = self.shared(self.second(self.shared(x)) - 1)
        self.ran.append("shared")
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def images(n: int = 3, size: int = 8) -> Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8)


def frozen(layer: str, network: nn.Module | None = None) -> FrozenBackbone:
    torch.manual_seed(0)
    return FrozenBackbone(network or Tower(), layer, UNIT, (8, 8), model="tower")


def test_a_convolution_is_read_before_the_in_place_relu_that_follows_it() -> None:
    backbone = frozen("conv")
    x = images()
    expected = backbone.network.conv(x.float() / 255)  # type: ignore[operator]
    torch.testing.assert_close(backbone(x), expected)
    assert (backbone(x) < 0).any()


def test_an_in_place_relu_is_read_after_it() -> None:
    x = images()
    torch.testing.assert_close(frozen("relu")(x), frozen("conv")(x).relu())


def test_a_module_that_runs_twice_is_read_the_second_time() -> None:
    backbone = frozen("shared")
    x = images()
    network = backbone.network
    inner = frozen("norm")(x).relu()
    expected = (network.second(inner) - 1).relu()  # type: ignore[operator]
    torch.testing.assert_close(backbone(x), expected)


def test_nothing_runs_past_the_layer_and_no_hook_stays() -> None:
    network = Tower()
    backbone = frozen("norm", network)
    network.ran.clear()
    backbone(images())
    assert network.ran == []
    assert all(not module._forward_hooks for module in network.modules())


def test_a_thread_gets_its_own_answer_while_another_reads_the_same_network() -> None:
    network, x, y = Tower(), images(), images()
    backbone = frozen("second", network)
    alone, answers = backbone(x), dict[str, Tensor]()

    def meanwhile(*_: object) -> None:  # in the midst of the first thread's pass
        handle.remove()
        other = Thread(target=lambda: answers.update(y=backbone(y)))
        other.start()
        other.join()

    handle = network.norm.register_forward_hook(meanwhile)
    answers["x"] = backbone(x)
    torch.testing.assert_close(answers, {"x": alone, "y": backbone(y)})


def test_an_image_is_answered_alike_in_any_batch() -> None:
    backbone = frozen("shared")
    x = images(21)
    alone = torch.cat([backbone(x[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(backbone(x), alone)


def test_an_image_in_floats_is_answered_like_the_same_image_in_bytes() -> None:
    for layer in ("conv", "relu", "shared"):
        backbone = frozen(layer)
        x = images()
        torch.testing.assert_close(backbone.respond(x.float() / 255), backbone(x))


def test_a_response_has_the_gradient_of_its_image_and_of_nothing_else() -> None:
    backbone = frozen("conv")
    x = (images().float() / 255).requires_grad_()
    (found,) = torch.autograd.grad(backbone.respond(x)[:, 1].sum(), x)
    (own,) = torch.autograd.grad(backbone.network.conv(x)[:, 1].sum(), x)  # type: ignore[operator]
    torch.testing.assert_close(found, own)
    assert all(p.grad is None for p in backbone.parameters())
    assert all(not module._forward_hooks for module in backbone.network.modules())


def test_an_answer_without_respond_keeps_no_graph() -> None:
    assert not frozen("norm")(images()).requires_grad


def test_train_mode_never_reaches_the_network() -> None:
    backbone = frozen("norm")
    holder = nn.Sequential(backbone)
    before = weights_digest(backbone.network)
    holder.train()
    assert not any(module.training for module in backbone.modules())
    backbone(images())
    assert weights_digest(backbone.network) == before
    assert not any(p.requires_grad for p in backbone.parameters())


@pytest.mark.parametrize("name", ["torchvision", "paper", "half", "unit"])
def test_input_scaling_is_that_of_its_name(name: str) -> None:
    scaling = InputScaling.named(name)
    backbone = FrozenBackbone(nn.Sequential(nn.Identity()), "0", scaling, (8, 8))
    x = images()
    expected = (x / 255 - torch.tensor(scaling.mean)[:, None, None]) / torch.tensor(scaling.std)[
        :, None, None
    ]
    torch.testing.assert_close(backbone(x), expected)


def test_the_papers_scaling_is_its_codes_constants() -> None:
    backbone = FrozenBackbone(
        nn.Sequential(nn.Identity()), "0", InputScaling.named("paper"), (8, 8)
    )
    x = images()
    offset = torch.tensor([124.6901, 118.6897, 109.5388])[:, None, None]
    torch.testing.assert_close(backbone(x), (x - offset) / 57.12, rtol=1e-4, atol=1e-4)


def test_an_unknown_layer_names_the_near_ones() -> None:
    with pytest.raises(BackboneError, match=r"unknown layer of tower 'conf'. Did you mean 'conv'"):
        frozen("conf")


def test_a_layer_without_a_map_is_refused_with_the_last_that_has_one() -> None:
    with pytest.raises(
        BackboneError, match=r"layer 'head'.*shape \(2,\).*not an activation map.*shared"
    ):
        frozen("head")


def test_no_layer_means_the_last_map() -> None:
    assert FrozenBackbone(Tower(), None, UNIT, (8, 8)).layer == "shared"


def test_a_network_that_cannot_take_the_image_says_so() -> None:
    with pytest.raises(BackboneError, match="cannot take an RGB image of 8x8"):
        FrozenBackbone(nn.Sequential(nn.Conv2d(1, 2, 1)), "0", UNIT, (8, 8))


def test_a_network_without_parameters_can_be_probed() -> None:
    assert FrozenBackbone(nn.Sequential(nn.AvgPool2d(2)), "0", UNIT, (8, 8)).shape == (3, 4, 4)


def test_any_module_can_be_built_from_its_import_path() -> None:
    target = "torchvision.models.squeezenet.squeezenet1_1"
    kwargs = {"num_classes": 7}
    backbone = build_backbone(name="mine", target=target, kwargs=kwargs, image_size=(64, 64))
    assert backbone.layer == "classifier.2"
    assert backbone.shape == (7, 3, 3)


def test_a_network_without_any_map_is_refused() -> None:
    with pytest.raises(BackboneError, match="no layer of mine gives an activation map"):
        FrozenBackbone(nn.Sequential(nn.Flatten()), None, UNIT, (8, 8), model="mine")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("torch.nn.Conv2e", r"unknown name in torch.nn 'Conv2e'. Did you mean 'Conv2d'"),
        ("no_such_package.Net", "cannot import 'no_such_package'"),
        ("Net", "must be an import path"),
        ("torch.nn.Conv2d", "missing"),
        ("builtins.dict", "gives a dict, not a torch.nn.Module"),
    ],
)
def test_a_wrong_import_path_says_what_is_wrong(target: str, message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        build_backbone(name="mine", target=target, image_size=(8, 8))


class Doubling(nn.Module):
    """Answers twice as often as it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.cat([x, x.flip(-1)]))  # type: ignore[no-any-return]


class Broken(nn.Module):
    """Fails behind its first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        raise KeyError(self.first(x).shape)


def test_a_layer_that_does_not_answer_each_image_by_itself_is_refused() -> None:
    with pytest.raises(BackboneError, match="first axis does not go over the images"):
        FrozenBackbone(Doubling(), "out", UNIT, (8, 8), model="doubling")


def test_a_network_that_breaks_on_the_way_can_be_read_up_to_there_but_has_no_last_layer() -> None:
    assert FrozenBackbone(Broken(), "first", UNIT, (8, 8)).shape == (2, 8, 8)
    with pytest.raises(BackboneError, match=r"KeyError.*give layer=NAME.*first"):
        FrozenBackbone(Broken(), None, UNIT, (8, 8))


def test_half_precision_weights_run_in_float32() -> None:
    backbone = frozen("conv", Tower().half())
    assert backbone(images()).dtype == torch.float32


# -------------------- several layers of one network


def at_layers(*layers: str) -> list[FrozenBackbone]:
    first = frozen(layers[0])
    return [first, *map(first.at, layers[1:])]


@pytest.mark.parametrize(
    "layers",
    [
        ("conv", "relu", "norm", "second", "shared"),
        ("shared", "conv"),  # in any order
        ("second", "second", "conv"),  # and twice
        ("relu",),
    ],
)
@pytest.mark.parametrize("count", [1, 8, 19])
def test_layers_read_in_one_pass_answer_as_in_passes_of_their_own(
    layers: tuple[str, ...], count: int
) -> None:
    x = images(count)
    together = read_layers(at_layers(*layers), x)
    for layer, answer in zip(layers, together, strict=True):
        assert torch.equal(answer, frozen(layer)(x)), layer
        assert answer.dtype == torch.float32
        assert answer.is_contiguous()


def test_no_images_give_empty_answers_of_the_right_shape() -> None:
    backbones = at_layers("conv", "second")
    assert [a.shape for a in read_layers(backbones, images(0))] == [(0, 4, 8, 8), (0, 5, 8, 8)]
    assert backbones[0](images(0)).shape == (0, 4, 8, 8)


def test_one_pass_ends_with_its_last_layer_and_leaves_no_hook() -> None:
    network = Tower()
    first = frozen("conv", network)
    both = [first, first.at("second")]
    network.ran.clear()
    read_layers(both, images())
    assert network.ran == ["norm"]
    early = [first.at("relu"), first.at("conv")]
    network.ran.clear()
    read_layers(early, images())
    assert network.ran == []
    assert all(not module._forward_hooks for module in network.modules())


def test_a_layer_of_several_that_answers_wrongly_is_named_and_no_hook_stays() -> None:
    first = FrozenBackbone(Tower(), "conv", UNIT, (8, 8), model="tower")
    with pytest.raises(BackboneError, match=r"layer 'conv' of tower .* one activation per image"):
        read_layers([first, first.at("second")], images(size=10))
    assert all(not module._forward_hooks for module in first.network.modules())


def test_the_same_network_at_another_layer_shares_its_weights() -> None:
    first = frozen("conv")
    other = first.at("second")
    assert (first.layer, first.shape) == ("conv", (4, 8, 8))
    assert (other.layer, other.shape) == ("second", (5, 8, 8))
    assert other.network is first.network
    assert other.digest == first.digest == weights_digest(first.network)
    for one, two in zip(first.parameters(), other.parameters(), strict=True):
        assert one is two
    with torch.no_grad():
        for value in first.network.get_submodule("conv").parameters():
            value.zero_()
    assert not first(images()).any()
    assert not first.at("conv")(images()).any()


def test_the_same_network_at_a_layer_it_lacks_is_refused() -> None:
    with pytest.raises(BackboneError, match="unknown layer of tower 'conf'"):
        frozen("conv").at("conf")


def test_paper_names_do_for_another_layer_too() -> None:
    backbone = build_backbone(name="resnet18", layer="layer1", image_size=(64, 64))
    assert backbone.at("conv1").module_path == "relu"


class Wide(nn.Module):
    """A layer that halves the image, and then one that answers twice when asked for four."""

    def __init__(self) -> None:
        super().__init__()
        self.small, self.out = nn.AvgPool2d(2), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        small = self.small(x)
        return self.out(torch.cat([small, small]) if len(x) == 4 else small)  # type: ignore[no-any-return]


def test_of_several_layers_the_one_that_answers_wrongly_is_described() -> None:
    whole = FrozenBackbone(nn.Sequential(nn.Identity(), Wide()), "0", UNIT, (8, 8), model="wide")
    with pytest.raises(BackboneError) as caught:
        read_layers([whole, whole.at("1.out")], images(4))
    assert str(caught.value) == (
        "layer '1.out' of wide gave [(8, 3, 4, 4)] for 4 images, but (3, 4, 4) for one: "
        "a layer must give one activation per image."
    )


def test_what_is_random_is_drawn_from_a_seed_of_its_own_and_moves_no_other() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    digests = []
    for seed in (0, 1, 1):
        torch.manual_seed(5)
        given = build_backbone(name="shapesnet", image_size=(16, 16), layer="conv1", seed=seed)
        assert torch.equal(torch.rand(3), expected)
        digests.append(given.digest)
    assert digests[0] != digests[1] == digests[2]


def test_a_network_is_built_with_the_scaling_given_or_torchvisions() -> None:
    def scaling(given: InputScaling | None) -> InputScaling:
        target = "torchvision.models.squeezenet1_1"
        return build_backbone(
            name="mine", target=target, image_size=(32, 32), scaling=given
        ).scaling

    assert scaling(None) == InputScaling.named("torchvision")
    assert scaling(UNIT) == UNIT


def test_a_vector_is_read_as_a_map_of_one_cell() -> None:
    backbone = FrozenBackbone(Tower(), "head", UNIT, (8, 8), vectors=True)
    x = images()
    assert backbone.shape == (2, 1, 1)
    assert torch.equal(backbone(x)[:, :, 0, 0], backbone.network(x / 255))


def test_a_map_has_its_filters_first_then_rows_then_columns() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 1))
    assert FrozenBackbone(network, "0", UNIT, (4, 7)).shape == (5, 4, 7)
