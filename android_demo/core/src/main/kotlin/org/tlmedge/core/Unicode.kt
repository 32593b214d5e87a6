package org.tlmedge.core

/**
 * What the Python tokenizer knows of Unicode's characters.
 *
 * Phones carry Unicode data of their Android version, and the tokenizers library that of its own time: the table
 * `unicode.txt`, which `android_demo/core/write_unicode.py` reads out of that library, makes them all agree.
 */
internal object Unicode {
    private const val SURROGATE = 0xFFFD
    private const val HANGUL = 0xAC00
    private const val HANGUL_SYLLABLES = 11172

    private val table = Table.read()

    /** Whether cleaning drops the character: control, format, private use, unassigned. */
    fun isDropped(point: Int) = table.dropped.get(point)

    fun isWhitespace(point: Int) = table.whitespace.get(point)

    fun isPunctuation(point: Int) = table.punctuation.get(point)

    /** Whether the character is a CJK ideograph, which is a word of its own. */
    fun isIdeograph(point: Int) = table.ideographs.get(point)

    /** Whether stripping accents drops the character (category Mn). */
    fun isAccent(point: Int) = table.accents.get(point)

    /** The lower-case form, one or more characters. */
    fun lowercase(point: Int): IntArray? = table.lowercase[point]

    /** Canonical decomposition (NFD) of a whole text, marks in canonical order (Unicode Standard, section 3.11). */
    fun decompose(points: IntArray): IntArray {
        val out = IntList(points.size + 8)
        for (point in points) {
            val parts = table.decomposition[point]
            when {
                parts != null -> parts.forEach(out::add)
                point in HANGUL until HANGUL + HANGUL_SYLLABLES -> addHangul(out, point - HANGUL)
                else -> out.add(point)
            }
        }
        val decomposed = out.toArray()
        order(decomposed)
        return decomposed
    }

    /** Code points of [text]; half of a surrogate pair becomes U+FFFD, as in Python. */
    fun points(text: String): IntArray {
        val out = IntList(text.length)
        var index = 0
        while (index < text.length) {
            val point = text.codePointAt(index)
            index += Character.charCount(point)
            out.add(if (point in 0xD800..0xDFFF) SURROGATE else point)
        }
        return out.toArray()
    }

    private fun addHangul(out: IntList, index: Int) {
        out.add(0x1100 + index / 588)
        out.add(0x1161 + index % 588 / 28)
        if (index % 28 > 0) out.add(0x11A7 + index % 28)
    }

    private fun order(points: IntArray) {
        var start = 0
        while (start < points.size) {
            if (table.combiningClass(points[start]) == 0) {
                start++
                continue
            }
            var end = start
            while (end < points.size && table.combiningClass(points[end]) > 0) end++
            if (end - start > 1) {
                // Stable, and quick for the thousands of marks that hostile texts pile up.
                val sorted = points.slice(start until end).sortedBy { table.combiningClass(it) }
                sorted.forEachIndexed { index, point -> points[start + index] = point }
            }
            start = end
        }
    }

    private class Table(
        val dropped: java.util.BitSet,
        val whitespace: java.util.BitSet,
        val punctuation: java.util.BitSet,
        val ideographs: java.util.BitSet,
        val accents: java.util.BitSet,
        val lowercase: Map<Int, IntArray>,
        val decomposition: Map<Int, IntArray>,
        private val classes: Map<Int, Int>,
    ) {
        fun combiningClass(point: Int) = if (point < 0x300) 0 else classes[point] ?: 0

        companion object {
            fun read(): Table {
                val stream = checkNotNull(Unicode::class.java.getResourceAsStream("/org/tlmedge/core/unicode.txt"))
                val lines = stream.bufferedReader(Charsets.US_ASCII).use { reader ->
                    reader.readLines().filter { !it.startsWith("#") }.associate { it.substringBefore(' ') to it.substringAfter(' ') }
                }
                return Table(
                    set(lines.getValue("dropped")),
                    set(lines.getValue("whitespace")),
                    set(lines.getValue("punctuation")),
                    set(lines.getValue("ideographs")),
                    set(lines.getValue("accents")),
                    mapping(lines.getValue("lowercase")),
                    mapping(lines.getValue("decomposition")),
                    mapping(lines.getValue("class")).mapValues { it.value[0] },
                )
            }

            /** Ranges such as `41-5a 61`, hexadecimal, both ends included. */
            private fun set(text: String) = java.util.BitSet(0x110000).also { set ->
                for (range in text.split(' ')) {
                    set.set(range.substringBefore('-').toInt(16), range.substringAfter('-').toInt(16) + 1)
                }
            }

            /** Pairs such as `c0=41,300`, hexadecimal. */
            private fun mapping(text: String): Map<Int, IntArray> = text.split(' ').associate { pair ->
                pair.substringBefore('=').toInt(16) to
                    pair.substringAfter('=').split(',').map { it.toInt(16) }.toIntArray()
            }
        }
    }
}

/** A growing array of ints without boxes. */
internal class IntList(capacity: Int = 16) {
    private var items = IntArray(maxOf(capacity, 1))
    var size = 0
        private set

    fun add(item: Int) {
        if (size == items.size) items = items.copyOf(2 * size)
        items[size++] = item
    }

    operator fun get(index: Int) = items[index]

    fun clear() {
        size = 0
    }

    fun toArray(): IntArray = items.copyOf(size)
}
