package org.tlmedge.core

/** BERT's normalizer, as the tokenizers library's `BertNormalizer` works. */
internal class BertNormalizer(
    private val cleanText: Boolean,
    private val spaceIdeographs: Boolean,
    private val stripAccents: Boolean,
    private val lowercase: Boolean,
) {
    /** The normalized text, in code points. */
    fun normalize(points: IntArray): IntArray {
        var text = points
        if (cleanText) text = clean(text)
        if (spaceIdeographs) text = spaced(text)
        if (stripAccents) text = stripped(Unicode.decompose(text))
        return if (lowercase) lowered(text) else text
    }

    private fun clean(points: IntArray) = rebuilt(points) { out, point ->
        when {
            // Tab and its like are both: in this order a vertical tab vanishes, as it does in Python.
            Unicode.isDropped(point) -> Unit
            Unicode.isWhitespace(point) -> out.add(' '.code)
            else -> out.add(point)
        }
    }

    private fun spaced(points: IntArray) = rebuilt(points) { out, point ->
        if (Unicode.isIdeograph(point)) {
            out.add(' '.code)
            out.add(point)
            out.add(' '.code)
        } else {
            out.add(point)
        }
    }

    private fun stripped(points: IntArray) = rebuilt(points) { out, point -> if (!Unicode.isAccent(point)) out.add(point) }

    private fun lowered(points: IntArray) = rebuilt(points) { out, point ->
        val lower = Unicode.lowercase(point)
        if (lower == null) out.add(point) else lower.forEach(out::add)
    }

    private inline fun rebuilt(points: IntArray, step: (IntList, Int) -> Unit): IntArray {
        val out = IntList(points.size + 8)
        for (point in points) step(out, point)
        return out.toArray()
    }
}
