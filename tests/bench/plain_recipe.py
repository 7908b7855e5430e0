"""The plain baseline of `train.py`: Stable Diffusion fine-tuning as users of diffusers' text-to-image recipe run it.

README.md beside this file defines it line by line. It writes `OUT/metrics.json` (a time and a loss for each step)
and `OUT/unet`.

    python tests/bench/plain_recipe.py --model FOLDER --data GLOB --output OUT [--max-train-steps N] …
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from datasets import load_dataset
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.optimization import get_scheduler
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer


def main() -> None:
    args = _parse()
    accelerator = Accelerator(mixed_precision=args.mixed_precision, cpu=not args.gpu)
    torch.manual_seed(args.seed)
    frozen_dtype = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[args.mixed_precision]

    noise_scheduler = DDPMScheduler.from_pretrained(args.model, subfolder="scheduler")
    tokenizer = CLIPTokenizer.from_pretrained(args.model, subfolder="tokenizer")
    text_encoder = CLIPTextModel.from_pretrained(args.model, subfolder="text_encoder")
    vae = AutoencoderKL.from_pretrained(args.model, subfolder="vae")
    unet = UNet2DConditionModel.from_pretrained(args.model, subfolder="unet")
    vae.requires_grad_(False).to(accelerator.device, frozen_dtype)
    text_encoder.requires_grad_(False).to(accelerator.device, frozen_dtype)
    unet.train()

    optimizer = torch.optim.AdamW(unet.parameters(), lr=args.learning_rate, weight_decay=1e-2, eps=1e-8)
    schedule = get_scheduler("constant", optimizer=optimizer)
    loader = torch.utils.data.DataLoader(
        _dataset(args.data, tokenizer, args.resolution),
        shuffle=True,
        collate_fn=_collate,
        batch_size=args.train_batch_size,
        num_workers=args.dataloader_num_workers,
        drop_last=True,
    )
    unet, optimizer, loader, schedule = accelerator.prepare(unet, optimizer, loader, schedule)

    rows: list[tuple[float, float]] = []
    while len(rows) < args.max_train_steps:
        for batch in loader:
            with accelerator.accumulate(unet):
                latents = vae.encode(batch["pixel_values"].to(frozen_dtype)).latent_dist.sample()
                latents = latents * vae.config.scaling_factor
                noise = torch.randn_like(latents)
                timesteps = torch.randint(
                    0, noise_scheduler.config.num_train_timesteps, (len(latents),), device=latents.device
                )
                noisy = noise_scheduler.add_noise(latents.float(), noise.float(), timesteps).to(frozen_dtype)
                text = text_encoder(batch["input_ids"], return_dict=False)[0]
                if noise_scheduler.config.prediction_type == "v_prediction":
                    target = noise_scheduler.get_velocity(latents, noise, timesteps)
                else:
                    target = noise
                prediction = unet(noisy, timesteps, text, return_dict=False)[0]
                loss = torch.nn.functional.mse_loss(prediction.float(), target.float(), reduction="mean")
                train_loss = accelerator.gather(loss.repeat(args.train_batch_size)).mean().item()
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(unet.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            rows.append((time.time(), train_loss))
            if len(rows) == args.max_train_steps:
                break

    output = Path(args.output)
    accelerator.unwrap_model(unet).save_pretrained(output / "unet")
    memory = torch.cuda.max_memory_allocated() / 2**20 if args.gpu else None
    (output / "metrics.json").write_text(json.dumps({"steps": rows, "peak_gpu_mib": memory}))


def _dataset(data: str, tokenizer: Any, resolution: int) -> Any:
    def preprocess(examples: dict[str, list[Any]]) -> dict[str, list[Any]]:
        ids = tokenizer(
            examples["text"],
            max_length=tokenizer.model_max_length,
            padding="max_length",
            truncation=True,
            return_tensors="pt",
        ).input_ids
        pixels = [_to_pixels(image.convert("RGB"), resolution) for image in examples["image"]]
        return {"pixel_values": pixels, "input_ids": list(ids)}

    dataset = load_dataset("parquet", data_files=data, split="train", columns=["image", "text"])
    return dataset.with_transform(preprocess)


def _to_pixels(image: Image.Image, resolution: int) -> torch.Tensor:
    """torchvision's Resize (Lanczos), CenterCrop, ToTensor and Normalize, of which Pillow does the work there too."""
    scale = resolution / min(image.size)
    width, height = round(image.width * scale), round(image.height * scale)
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    left, top = (width - resolution) // 2, (height - resolution) // 2
    image = image.crop((left, top, left + resolution, top + resolution))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255).sub(0.5).div(0.5)


def _collate(examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    pixels = torch.stack([example["pixel_values"] for example in examples])
    return {"pixel_values": pixels, "input_ids": torch.stack([example["input_ids"] for example in examples])}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--train-batch-size", type=int, default=8)
    parser.add_argument("--max-train-steps", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--mixed-precision", choices=("no", "bf16", "fp16"), default="no")
    parser.add_argument("--dataloader-num-workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gpu", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
