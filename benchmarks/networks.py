"""Well-known image networks in ncnn's text format, without weights: what published latencies were measured with.

The layers are those of the papers (MobileNet: arXiv 1704.04861 and 1801.04381, SqueezeNet v1.1: arXiv 1602.07360,
AlexNet in its two halves: NIPS 2012, ResNet-18: arXiv 1512.03385, VGG-16: arXiv 1409.1556),
batch normalisation folded into the convolutions, as it is when a network is deployed.
"""

from __future__ import annotations

from collections.abc import Callable

RELU = "9=1"
RELU6 = "9=3 -23310=2,0.0,6.0"


class Network:
    """Layers one after another, with branches where they are asked for; blobs carry their channels and side."""

    def __init__(self, side: int):
        self.lines: list[str] = []
        self.blobs = 0
        self.last, self.channels, self.side = "data", 3, side
        self._add("Input", [], 1, f"0={side} 1={side} 2=3", name="data")

    def text(self) -> str:
        return "\n".join(["7767517", f"{len(self.lines)} {self.blobs}", *self.lines]) + "\n"

    def convolution(
        self, channels: int, kernel: int, stride: int = 1, pad: int | None = None, *, groups: int = 1, act: str = RELU
    ) -> Network:
        pad = kernel // 2 if pad is None else pad
        kind = "ConvolutionDepthWise" if groups > 1 else "Convolution"
        weights = channels * self.channels // groups * kernel * kernel
        own = f"0={channels} 1={kernel} 3={stride} 4={pad} 5=1 6={weights}"
        own += f" 7={groups}" if groups > 1 else ""
        self.step(kind, f"{own} {act}".strip())
        self.channels, self.side = channels, (self.side + 2 * pad - kernel) // stride + 1
        return self

    def depthwise(self, stride: int, act: str = RELU) -> Network:
        return self.convolution(self.channels, 3, stride, groups=self.channels, act=act)

    def pool(self, kernel: int, stride: int, *, up: bool = False) -> Network:
        # ncnn's pooling rounds up unless pad_mode (5) is 1.
        self.step("Pooling", f"0=0 1={kernel} 2={stride} 5={0 if up else 1}")
        reach = self.side - kernel
        self.side = (-(-reach // stride) if up else reach // stride) + 1
        return self

    def global_average(self) -> Network:
        self.step("Pooling", "0=1 4=1")
        self.side = 1
        return self

    def normalise(self) -> Network:
        """Local response normalisation over five channels, AlexNet's."""
        self.step("LRN", "0=0 1=5 2=0.0001 3=0.75")
        return self

    def full(self, outputs: int, act: str = "") -> Network:
        inputs = self.channels * self.side * self.side
        self.step("InnerProduct", f"0={outputs} 1=1 2={inputs * outputs} {act}".strip())
        self.channels, self.side = outputs, 1
        return self

    def softmax(self) -> Network:
        self.step("Softmax", "0=0")
        return self

    def split(self, count: int) -> list[str]:
        outputs = self._add("Split", [self.last], count, "")
        self.last = outputs[0]
        return outputs

    def join(self, kind: str, inputs: list[str], channels: int, act: bool = False) -> Network:
        self.last = self._add(kind, inputs, 1, "0=0")[0]
        self.channels = channels
        if act:
            self.step("ReLU", "")
        return self

    def memory(self, width: int, height: int) -> str:
        """Weights that are read as they are; the blob's name."""
        return self._add("MemoryData", [], 1, f"0={width} 1={height}")[0]

    def step(self, kind: str, parameters: str) -> Network:
        self.last = self._add(kind, [self.last], 1, parameters)[0]
        return self

    def _add(self, kind: str, inputs: list[str], count: int, parameters: str, name: str = "") -> list[str]:
        outputs = [name or f"b{self.blobs + index}" for index in range(count)]
        self.blobs += count
        words = [kind, f"l{len(self.lines)}", str(len(inputs)), str(count), *inputs, *outputs]
        self.lines.append(" ".join([*words, parameters]).strip())
        return outputs


def mobilenet_v1() -> Network:
    net = Network(224).convolution(32, 3, 2)
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for channels, stride in blocks:
        net.depthwise(stride).convolution(channels, 1)
    return net.global_average().full(1000).softmax()


def mobilenet_v2() -> Network:
    net = Network(224).convolution(32, 3, 2, act=RELU6)
    blocks = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expansion, channels, repeats, first_stride in blocks:
        for number in range(repeats):
            stride = first_stride if number == 0 else 1
            residual = stride == 1 and net.channels == channels
            kept = net.split(2)[1] if residual else ""
            if expansion > 1:
                net.convolution(net.channels * expansion, 1, act=RELU6)
            net.depthwise(stride, RELU6).convolution(channels, 1, act="")
            if residual:
                net.join("BinaryOp", [net.last, kept], channels)
    return net.convolution(1280, 1, act=RELU6).global_average().full(1000).softmax()


def squeezenet() -> Network:
    net = Network(227).convolution(64, 3, 2, 0).pool(3, 2, up=True)
    for number, (squeeze, expand) in enumerate(
        [(16, 64), (16, 64), (32, 128), (32, 128), *[(48, 192)] * 2, *[(64, 256)] * 2]
    ):
        if number in (2, 4):
            net.pool(3, 2, up=True)
        net.convolution(squeeze, 1)
        branches = net.split(2)
        ends = []
        for blob, kernel in zip(branches, (1, 3), strict=True):
            net.last, net.channels = blob, squeeze
            net.convolution(expand, kernel)
            ends.append(net.last)
        net.join("Concat", ends, 2 * expand)
    return net.convolution(1000, 1).global_average().softmax()


def alexnet() -> Network:
    net = Network(227).convolution(96, 11, 4, 0).normalise().pool(3, 2)
    net.convolution(256, 5, groups=2).normalise().pool(3, 2)
    net.convolution(384, 3).convolution(384, 3, groups=2).convolution(256, 3, groups=2).pool(3, 2)
    return net.full(4096, RELU).full(4096, RELU).full(1000).softmax()


def resnet18() -> Network:
    net = Network(224).convolution(64, 7, 2).pool(3, 2, up=True)
    for channels, first_stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for number in range(2):
            stride = first_stride if number == 0 else 1
            start, before, side = net.split(2), net.channels, net.side
            net.convolution(channels, 3, stride).convolution(channels, 3, act="")
            end, shortcut = net.last, start[1]
            if stride > 1:
                net.last, net.channels, net.side = shortcut, before, side
                shortcut = net.convolution(channels, 1, stride, 0, act="").last
            net.join("BinaryOp", [end, shortcut], channels, act=True)
    return net.global_average().full(1000).softmax()


def vgg16() -> Network:
    net = Network(224)
    for channels, repeats in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(repeats):
            net.convolution(channels, 3)
        net.pool(2, 2)
    return net.full(4096, RELU).full(4096, RELU).full(1000).softmax()


def vit() -> Network:
    """ViT-B/32 (arXiv 2010.11929) on 384 × 384 pixels: 144 patches and the class token."""
    width, tokens = 768, 145
    net = Network(384).convolution(width, 32, 32, 0, act="")
    net.step("Reshape", f"0={tokens - 1} 1={width}").step("Permute", "0=1")
    net.join("Concat", [net.memory(width, 1), net.last], width)
    net.join("BinaryOp", [net.last, net.memory(width, tokens)], width)
    for _ in range(12):
        kept = net.split(2)[1]
        net.step("LayerNorm", f"0={width} 1=1e-6 2=1").step("MultiHeadAttention", f"0={width} 1=12 2={width * width}")
        net.join("BinaryOp", [net.last, kept], width)
        kept = net.split(2)[1]
        net.step("LayerNorm", f"0={width} 1=1e-6 2=1").step("InnerProduct", f"0={4 * width} 1=1 2={4 * width * width}")
        net.step("GELU", "0=0").step("InnerProduct", f"0={width} 1=1 2={4 * width * width}")
        net.join("BinaryOp", [net.last, kept], width)
    net.step("LayerNorm", f"0={width} 1=1e-6 2=1").step("Crop", "-23309=1,0 -23310=1,1 -23311=1,0")
    return net.step("InnerProduct", f"0=1000 1=1 2={1000 * width}")


NETWORKS: dict[str, Callable[[], Network]] = {
    "mobilenet-v1": mobilenet_v1,
    "mobilenet-v2": mobilenet_v2,
    "squeezenet-v1.1": squeezenet,
    "alexnet": alexnet,
    "resnet18": resnet18,
    "vgg16": vgg16,
    "vit-b-32": vit,
}
