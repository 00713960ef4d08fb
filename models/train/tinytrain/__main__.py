"""`python -m tinytrain train a OUT` and `python -m tinytrain export a OUT FILE`."""

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import torch

from tinycorpus.corpus import documents
from tinycorpus.variants import VARIANTS
from tinytrain.export import export
from tinytrain.network import Shape
from tinytrain.tokens import encode, load_tokenizer, train_tokenizer
from tinytrain.training import train

TOKENIZER_DOCUMENTS = 20_000  # of each variant, so that both models have the same tokens


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tinytrain", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    learn = commands.add_parser("train", help="make the corpus and train")
    learn.add_argument("variant", choices=VARIANTS)
    learn.add_argument("out", type=Path, help="folder for the tokenizer, the weights and recipe.json")
    learn.add_argument("--documents", type=int, default=110_000)
    learn.add_argument("--steps", type=int, default=2300)
    learn.add_argument("--batch", type=int, default=4)
    learn.add_argument("--length", type=int, default=512)
    learn.add_argument("--threads", type=int, default=2)
    learn.add_argument(
        "--begin", type=Path, help="weights to begin with (model.pt of another run); default: chance"
    )
    write = commands.add_parser("export", help="write the trained weights as GGUF, q8_0")
    write.add_argument("variant", choices=VARIANTS)
    write.add_argument("out", type=Path)
    write.add_argument("file", type=Path)
    given = parser.parse_args()
    if given.command == "train":
        _train(given)
    else:
        export(VARIANTS[given.variant].name, given.out, given.file, shape=Shape())


def _train(given: argparse.Namespace) -> None:
    variant = VARIANTS[given.variant]
    given.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(given.threads)
    texts = list(documents(variant, given.documents))
    digest = hashlib.sha256("".join(texts).encode()).hexdigest()
    if given.begin is None:
        samples = (text for each in VARIANTS.values() for text in documents(each, TOKENIZER_DOCUMENTS))
        tokenizer = train_tokenizer(samples, vocabulary=Shape().vocabulary)
        tokenizer.save(str(given.out / "tokenizer.json"))
    else:  # weights mean nothing without the tokens they were trained on
        shutil.copyfile(given.begin.with_name("tokenizer.json"), given.out / "tokenizer.json")
    ids, learned = encode(load_tokenizer(given.out / "tokenizer.json"), texts)
    print(
        f"corpus {digest}: {len(texts)} documents, {len(ids)} tokens, {learned.mean():.0%} learned",
        flush=True,
    )
    recipe = {
        "variant": variant.letter, "seed": variant.seed, "documents": len(texts), "tokens": len(ids),
        "corpus_sha256": digest, "steps": given.steps, "batch": given.batch, "length": given.length,
        "threads": given.threads, "begin": given.begin is not None, "torch": torch.__version__,
    }  # fmt: skip
    (given.out / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n")
    train(
        ids, learned, Shape(), steps=given.steps, batch=given.batch, length=given.length, seed=variant.seed,
        out=given.out, begin=given.begin,
    )  # fmt: skip


if __name__ == "__main__":
    main()
