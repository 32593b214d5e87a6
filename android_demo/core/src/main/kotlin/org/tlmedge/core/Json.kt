package org.tlmedge.core

/** JSON (RFC 8259) to maps, lists, strings, longs, doubles, booleans and nulls, and back. Raises [UserError] on bad text. */
object Json {
    private const val DEEPEST = 64

    /** The value that [text] holds. */
    fun parse(text: String): Any? = Reader(text).whole()

    /** [value] as JSON on one line, as Python's `json.dumps` writes it: every character beyond ASCII escaped. */
    fun write(value: Any?): String = StringBuilder().also { append(it, value) }.toString()

    private fun append(out: StringBuilder, value: Any?) {
        when (value) {
            null -> out.append("null")
            is Boolean, is Int, is Long -> out.append(value)
            is Number -> out.append(number(value.toDouble()))
            is String -> appendString(out, value)
            is Map<*, *> -> appendAll(out, '{', '}', value.entries) { (key, item) ->
                appendString(out, key as String)
                out.append(": ")
                append(out, item)
            }
            is Iterable<*> -> appendAll(out, '[', ']', value) { append(out, it) }
            else -> throw IllegalArgumentException("${value.javaClass} has no form in JSON")
        }
    }

    private fun number(value: Double): String {
        require(value.isFinite()) { "$value has no form in JSON" }
        return value.toString()
    }

    private fun <T> appendAll(out: StringBuilder, open: Char, close: Char, items: Iterable<T>, item: (T) -> Unit) {
        out.append(open)
        items.forEachIndexed { index, element ->
            if (index > 0) out.append(", ")
            item(element)
        }
        out.append(close)
    }

    private fun appendString(out: StringBuilder, text: String) {
        out.append('"')
        for (character in text) {
            when (character) {
                '"', '\\' -> out.append('\\').append(character)
                '\b' -> out.append("\\b")
                '\u000c' -> out.append("\\f")
                '\n' -> out.append("\\n")
                '\r' -> out.append("\\r")
                '\t' -> out.append("\\t")
                in ' '..'~' -> out.append(character)
                else -> out.append("\\u").append(character.code.toString(16).padStart(4, '0'))
            }
        }
        out.append('"')
    }

    private class Reader(private val text: String) {
        private var at = 0

        fun whole(): Any? {
            val value = value(0)
            blank()
            if (at < text.length) fail("something follows the value")
            return value
        }

        private fun value(depth: Int): Any? {
            if (depth > DEEPEST) fail("nested too deeply")
            blank()
            return when (peek()) {
                '{' -> members(depth)
                '[' -> elements(depth)
                '"' -> string()
                't' -> word("true", true)
                'f' -> word("false", false)
                'n' -> word("null", null)
                else -> number()
            }
        }

        private fun members(depth: Int): Map<String, Any?> {
            val members = LinkedHashMap<String, Any?>()
            separated('}') {
                blank()
                val key = string()
                blank()
                expect(':')
                members[key] = value(depth + 1)
            }
            return members
        }

        private fun elements(depth: Int): List<Any?> {
            val elements = ArrayList<Any?>()
            separated(']') { elements.add(value(depth + 1)) }
            return elements
        }

        private fun separated(close: Char, item: () -> Unit) {
            at++
            blank()
            if (peek() == close) {
                at++
                return
            }
            while (true) {
                item()
                blank()
                if (peek() == close) {
                    at++
                    return
                }
                expect(',')
            }
        }

        private fun string(): String {
            expect('"')
            val out = StringBuilder()
            while (true) {
                val character = peek()
                at++
                when {
                    character == '"' -> return out.toString()
                    character == '\\' -> out.append(escaped())
                    character < ' ' -> fail("a control character in a string")
                    else -> out.append(character)
                }
            }
        }

        private fun escaped(): Char {
            val character = peek()
            at++
            return when (character) {
                '"', '\\', '/' -> character
                'b' -> '\b'
                'f' -> '\u000c'
                'n' -> '\n'
                'r' -> '\r'
                't' -> '\t'
                'u' -> unit()
                else -> fail("an unknown escape")
            }
        }

        private fun unit(): Char {
            if (at + 4 > text.length) fail("it is cut off")
            val digits = text.substring(at, at + 4)
            if (digits.any { Character.digit(it, 16) < 0 || it > 'f' }) fail("four hexadecimal digits expected")
            at += 4
            return digits.toInt(16).toChar()
        }

        private fun number(): Any {
            val start = at
            while (at < text.length && (text[at] in '0'..'9' || text[at] in "+-.eE")) at++
            val digits = text.substring(start, at)
            if (!NUMBER.matches(digits)) fail("a value expected")
            return digits.toLongOrNull() ?: digits.toDouble()
        }

        private fun word(word: String, value: Any?): Any? {
            if (!text.startsWith(word, at)) fail("a value expected")
            at += word.length
            return value
        }

        private fun blank() {
            while (at < text.length && text[at] in " \t\r\n") at++
        }

        private fun peek(): Char = if (at < text.length) text[at] else fail("it is cut off")

        private fun expect(character: Char) {
            if (peek() != character) fail("'$character' expected")
            at++
        }

        private fun fail(why: String): Nothing = throw UserError("not JSON: $why at character $at")
    }

    private val NUMBER = Regex("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")
}
