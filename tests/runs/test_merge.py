"""`egpo-trl merge`: the merged model is the base with the adapter, and quantized bases are refused."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from egpo_trl.cli import main
from egpo_trl.demo.policy import demo_policy_path
from egpo_trl.reports.run_log import save_config
from tests.tiny import train


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """Adapter that `EGPOTrainer` trained on the embedded policy, with its tokenizer."""
    folder = tmp_path_factory.mktemp("adapter")
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    tokenizer = AutoTokenizer.from_pretrained(demo_policy_path())
    trainer = train(folder, tokenizer, model=str(demo_policy_path()), peft_config=lora, entropy_span="completion")
    trainer.save_model()
    return folder


def logits(model, tokenizer) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(**tokenizer("Play Bach in order.", return_tensors="pt")).logits


def test_merged_model_is_base_and_adapter(adapter, tmp_path, capsys):
    output = tmp_path / "merged"
    main(["merge", str(adapter), "--output_dir", str(output), "--dtype", "float32"])
    assert str(output) in capsys.readouterr().out
    tokenizer = AutoTokenizer.from_pretrained(output)
    assert tokenizer.chat_template
    base = AutoModelForCausalLM.from_pretrained(demo_policy_path(), dtype=torch.float32)
    start = logits(base, tokenizer)
    expected = logits(PeftModel.from_pretrained(base, adapter), tokenizer)
    merged = logits(AutoModelForCausalLM.from_pretrained(output), tokenizer)
    assert torch.allclose(merged, expected, atol=1e-4)
    assert not torch.allclose(merged, start, atol=1e-4)


def test_quantized_base_is_refused(adapter, tmp_path):
    quantized = tmp_path / "quantized"
    shutil.copytree(demo_policy_path(), quantized)
    config = json.loads((quantized / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (quantized / "config.json").write_text(json.dumps(config))
    with pytest.raises(SystemExit, match=r"are quantized.*Name the unquantized model .* with --model"):
        main(["merge", str(adapter), "--output_dir", str(tmp_path / "merged"), "--model", str(quantized)])
    main(["merge", str(adapter), "--output_dir", str(tmp_path / "merged"), "--model", str(demo_policy_path())])


def test_quantized_weights_are_refused_whatever_the_config_says(adapter, tmp_path):
    quantized = AutoModelForCausalLM.from_pretrained(
        demo_policy_path(), dtype=torch.float32, quantization_config=BitsAndBytesConfig(load_in_4bit=True)
    )
    quantized.save_pretrained(tmp_path / "packed")
    with pytest.raises(SystemExit, match="are quantized"):
        main(["merge", str(adapter), "--output_dir", str(tmp_path / "merged"), "--model", str(tmp_path / "packed")])
    config = json.loads((tmp_path / "packed" / "config.json").read_text())
    assert config.pop("quantization_config")["load_in_4bit"]
    (tmp_path / "packed" / "config.json").write_text(json.dumps(config))
    with pytest.raises(SystemExit, match="are quantized"):
        main(["merge", str(adapter), "--output_dir", str(tmp_path / "merged"), "--model", str(tmp_path / "packed")])
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("bits", [4, 8])
def test_an_adapter_of_a_quantized_base_needs_the_base_named(adapter, tmp_path, bits):
    """The run says how the base was loaded; that of a checkpoint stands in the folder above."""
    shutil.copytree(adapter, tmp_path / "run" / "checkpoint-2")
    save_config({f"load_in_{bits}bit": True, "use_peft": True}, [], {}, tmp_path / "run")
    checkpoint, output = str(tmp_path / "run" / "checkpoint-2"), str(tmp_path / "merged")
    with pytest.raises(SystemExit, match=rf"loaded in {bits} bits.*with --model .*differs .* by the rounding"):
        main(["merge", checkpoint, "--output_dir", output])
    main(["merge", checkpoint, "--output_dir", output, "--model", str(demo_policy_path())])
    save_config({"load_in_4bit": False}, [], {}, tmp_path / "run")
    main(["merge", checkpoint, "--output_dir", f"{output}-2"])


def test_what_cannot_be_merged(adapter, tmp_path):
    with pytest.raises(SystemExit, match="holds no adapter"):
        main(["merge", str(tmp_path), "--output_dir", str(tmp_path / "merged")])
    with pytest.raises(SystemExit, match="exists and is not empty"):
        main(["merge", str(adapter), "--output_dir", str(adapter)])
    config = json.loads((adapter / "adapter_config.json").read_text())
    shutil.copytree(adapter, tmp_path / "copy")
    (tmp_path / "copy" / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": None}))
    with pytest.raises(SystemExit, match="does not say what its base model is"):
        main(["merge", str(tmp_path / "copy"), "--output_dir", str(tmp_path / "merged")])
