"""The precisions of the TFLite target as recipes of ai-edge-quantizer."""

from __future__ import annotations

from dataclasses import dataclass

from ai_edge_quantizer import qtyping
from ai_edge_quantizer.quantizer import Quantizer
from ai_edge_quantizer.recipe_manager import AlgorithmName

#: Matrices of fewer elements stay in float32: quantizing their input costs more than it saves.
SMALLEST_QUANTIZED = 16_384

_MATRIX = qtyping.TFLOperationName.FULLY_CONNECTED
_TABLE = qtyping.TFLOperationName.EMBEDDING_LOOKUP
_A_ROW, _A_TENSOR = qtyping.QuantGranularity.CHANNELWISE, qtyping.QuantGranularity.TENSORWISE
_INT, _FLOAT = qtyping.TensorDataType.INT, qtyping.TensorDataType.FLOAT


@dataclass(frozen=True)
class Rule:
    """How the weights of one kind of operator are stored, and whether it computes in int8 (``dynamic``) with them."""

    operator: qtyping.TFLOperationName
    bits: int = 8
    dynamic: bool = False
    scales: qtyping.QuantGranularity = _A_ROW
    smallest: int = 0


#: Tables have one scale: TFLite 2.16.1 computes those with a scale a row wrongly, without a word.
_INT8_TABLE = Rule(_TABLE, dynamic=True, scales=_A_TENSOR)
RECIPES: dict[str, tuple[Rule, ...]] = {
    "fp32": (),
    "fp16": (Rule(_MATRIX, bits=16), Rule(_TABLE, bits=16)),
    "int4": (Rule(_MATRIX, bits=4, dynamic=True, smallest=SMALLEST_QUANTIZED), _INT8_TABLE),
    "int8": (Rule(_MATRIX, dynamic=True, smallest=SMALLEST_QUANTIZED), _INT8_TABLE),
    "int8-weight-only": (Rule(_MATRIX, smallest=SMALLEST_QUANTIZED), _INT8_TABLE),
}


def quantize(content: bytes, precision: str) -> bytes:
    """A float32 model's file in another precision, one of ``RECIPES``."""
    if not RECIPES[precision]:
        return content
    quantizer = Quantizer(bytearray(content))
    for rule in RECIPES[precision]:
        weights = qtyping.TensorQuantizationConfig(
            num_bits=rule.bits,
            symmetric=True,
            granularity=rule.scales,
            dtype=_FLOAT if rule.bits == 16 else _INT,
        )
        config = qtyping.OpQuantizationConfig(
            weight_tensor_config=weights,
            compute_precision=qtyping.ComputePrecision.INTEGER if rule.dynamic else qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=not rule.dynamic,
            min_weight_elements=rule.smallest,
        )
        algorithm = AlgorithmName.FLOAT_CASTING if rule.bits == 16 else AlgorithmName.MIN_MAX_UNIFORM_QUANT
        quantizer.update_quantization_recipe(".*", rule.operator, config, algorithm)
    return bytes(quantizer.quantize().quantized_model)
