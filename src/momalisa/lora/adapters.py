"""LoRA adapters by URI, with a weight of its own for each picture of a batch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from torch import Tensor

from momalisa.caches import cache_folder
from momalisa.diffusion.loading import Components
from momalisa.diffusion.sampling import pipeline_of
from momalisa.errors import ModelError, ObjectNotFoundError
from momalisa.storage import open_store, sha256_bytes, sha256_file

LORA_FILE = "pytorch_lora_weights.safetensors"


class Adapters:
    """Adapters that are loaded into a model's UNet and text encoder, and stay there until `unload`.

    Before anything is drawn with the model, `set_weights` is called. Raises ModelError for an adapter that is not
    there, does not fit the model, or is none whose weight can change from picture to picture (DoRA).
    """

    def __init__(self, components: Components, uris: Sequence[str]) -> None:
        self.uris = tuple(uris)
        self.fingerprints: dict[str, str] = {}
        self._layers: list[_Layer] = []
        if not uris:
            return
        files = {uri: resolve_adapter(uri) for uri in uris}
        self._pipeline = pipeline_of(components)
        try:
            for number, uri in enumerate(uris):
                self.fingerprints[uri] = sha256_file(files[uri])
                _load(self._pipeline, files[uri], uri, _name(number))
            self._pipeline.set_adapters([_name(number) for number in range(len(uris))])
            parts = (components.unet, components.text_encoder)
            for layer in (module for part in parts for module in part.modules() if isinstance(module, LoraLayer)):
                self._layers.append(_Layer(layer))
        except BaseException:
            self.unload()  # a part of them would change every later picture
            raise

    def set_weights(self, weights_BA: Tensor) -> None:
        """The weights of each adapter for each picture of the batches that follow, (B, adapters)."""
        for layer in self._layers:
            layer.weights = weights_BA

    def unload(self) -> None:
        """The model is again as it was."""
        for layer in self._layers:
            layer.remove()
        self._layers = []
        if self.uris:
            self._pipeline.unload_lora_weights()


class _Layer:
    """One layer's adapters: before it runs, their scalings become tensors that fit its input."""

    def __init__(self, module: Any) -> None:
        if module.lora_variant:
            raise ModelError(
                "an adapter is of a kind (such as DoRA) whose weight cannot change along the way: use LoRA"
            )
        self._module = module
        self._plain = dict(module.scaling)
        self._hook = module.register_forward_pre_hook(self._scale)
        self.weights: Tensor | None = None

    def remove(self) -> None:
        self._hook.remove()
        self._module.scaling.update(self._plain)

    def _scale(self, module: Any, inputs: tuple[Tensor, ...]) -> None:
        assert self.weights is not None, "set_weights comes first"
        x = inputs[0]
        for name, plain in self._plain.items():
            column = self.weights[:, _number(name)].to(x.device, x.dtype)
            module.scaling[name] = plain * column.reshape(-1, *[1] * (x.ndim - 1))


def resolve_adapter(uri: str) -> Path:
    """The local safetensors file of an adapter: a file, a folder or URI that holds one, or a hub id.

    Raises ModelError where there is none.
    """
    if "://" in uri:
        return _download(uri)
    local = Path(uri).expanduser()
    if local.is_file() and local.suffix == ".safetensors":
        return local
    if (local / LORA_FILE).is_file():
        return local / LORA_FILE
    if uri.count("/") == 1 and not local.exists() and not uri.startswith((".", "/", "~")):
        return _from_hub(uri)
    raise ModelError(f"no adapter at {uri!r}: give a .safetensors file, or a folder, URI or hub id with {LORA_FILE}")


def _load(pipeline: Any, file: Path, uri: str, name: str) -> None:
    try:
        pipeline.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=name, local_files_only=True)
    except (ValueError, LookupError, RuntimeError, OSError, SafetensorError) as e:
        # A LookupError's own words ("list index out of range") say nothing of the file.
        lacks_layers = isinstance(e, LookupError) or not str(e)
        reason = "its layers are not the model's" if lacks_layers else str(e).splitlines()[0]
        raise ModelError(f"the adapter {uri} does not fit the model: {reason}") from e
    if not any(name in names for names in pipeline.get_list_adapters().values()):
        raise ModelError(f"the adapter {uri} does not fit the model: it changes none of its layers")


def _download(uri: str) -> Path:
    whole, _, last = uri.rpartition("/")
    folder, key = (whole, last) if last.endswith(".safetensors") else (uri, LORA_FILE)
    store = open_store(folder)
    try:
        entry = store.stat(key)
        target = (
            cache_folder("adapters") / sha256_bytes(f"{uri} {entry.num_bytes} {entry.checksum}".encode())[:24] / key
        )
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            store.download(key, target)
    except ObjectNotFoundError as e:
        raise ModelError(f"no adapter at {uri}: there is no {key}") from e
    return target


def _from_hub(hub_id: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(hub_id, LORA_FILE))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as e:
        reason = str(e).splitlines()[0]
        raise ModelError(f"{LORA_FILE} of {hub_id} cannot be had from the hub ({reason}): check the id") from e


def _name(number: int) -> str:
    return f"walk{number}"


def _number(name: str) -> int:
    return int(name.removeprefix("walk"))
