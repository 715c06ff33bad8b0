"""Which operators of a network are affine or piecewise linear, and which of those have kinks."""

from __future__ import annotations

_KINKS = """
Relu LeakyRelu PRelu MaxPool GlobalMaxPool Clip Max Min Abs HardSigmoid ThresholdedRelu
"""

_AFFINE = """
Add And ArgMax ArgMin ArrayFeatureExtractor AveragePool BatchNormalization Cast CastLike Ceil Compress
Concat Constant ConstantOfShape CumSum DepthToSpace DequantizeLinear Dropout Equal Expand EyeLike
FeatureVectorizer Flatten Floor Gather GatherElements GatherND GlobalAveragePool Greater GreaterOrEqual
Hardmax Identity Imputer LabelEncoder Less LessOrEqual LinearRegressor MaxUnpool Mean Neg Not OneHot Or Pad
QuantizeLinear Range ReduceMax ReduceMean ReduceMin ReduceSum Reshape Resize Round Scaler
ScatterElements ScatterND Shape Shrink Sign Size Slice SpaceToDepth Split Squeeze Sub Sum Tile TopK
Transpose Trilu Unsqueeze Upsample Where ZipMap
Mul(constant) Div(constant) MatMul(constant) Gemm(constant) Conv(constant) ConvTranspose(constant)
"""

KINKS = frozenset(_KINKS.split())
"""Piecewise linear with a change of slope."""

STRAIGHT = KINKS | frozenset(_AFFINE.split())
"""Affine or piecewise linear. A product counts where all but one factor are constants, as the adapter
says; HardSwish written as Clip x Mul does not."""
