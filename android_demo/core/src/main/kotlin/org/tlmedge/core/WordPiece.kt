package org.tlmedge.core

/** Greedy longest-match-first WordPiece (Wu et al., arXiv 1609.08144, as BERT uses it). */
internal class WordPiece(
    private val vocabulary: Map<String, Int>,
    private val unknown: Int,
    private val prefix: String,
    private val longestWord: Int,
) {
    private val longestPiece = vocabulary.keys.maxOf { it.length }

    /** Adds the ids of one word, which is in code points [from] until [until] of [points]; a word without pieces is unknown. */
    fun encode(points: IntArray, from: Int, until: Int, out: IntList) {
        if (until - from > longestWord) {
            out.add(unknown)
            return
        }
        val pieces = IntList()
        var start = from
        while (start < until) {
            val end = piece(points, start, until, if (start == from) "" else prefix, pieces)
            if (end == start) {
                out.add(unknown)
                return
            }
            start = end
        }
        for (index in 0 until pieces.size) out.add(pieces[index])
    }

    /** Adds the longest piece at [start] and gives where it ends; [start] if there is none. */
    private fun piece(points: IntArray, start: Int, until: Int, prefix: String, pieces: IntList): Int {
        var end = minOf(until, start + longestPiece)
        while (end > start) {
            val id = vocabulary[prefix + String(points, start, end - start)]
            if (id != null) {
                pieces.add(id)
                return end
            }
            end--
        }
        return start
    }
}
