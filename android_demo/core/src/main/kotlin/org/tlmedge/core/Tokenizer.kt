package org.tlmedge.core

/**
 * Text to token ids, identical to the tokenizers library with the same `tokenizer.json`; safe to use from several threads.
 *
 * It reads BERT's kind: BertNormalizer, BertPreTokenizer, WordPiece, and special tokens around the text.
 */
class Tokenizer private constructor(
    private val normalizer: BertNormalizer,
    private val model: WordPiece,
    private val special: Map<String, Int>,
    private val before: IntArray,
    private val after: IntArray,
    private val maxLength: Int,
) {
    /** Token ids of [text], special tokens included, cut to the maximum length. */
    fun encode(text: String): IntArray {
        val ids = IntList(64)
        for ((segment, id) in segments(text)) {
            if (id != null) ids.add(id) else encodeSegment(segment, ids)
        }
        val room = maxLength - before.size - after.size
        return before + ids.toArray().copyOf(minOf(ids.size, room)) + after
    }

    private fun encodeSegment(segment: String, ids: IntList) {
        val points = normalizer.normalize(Unicode.points(segment))
        var start = 0
        for (index in 0..points.size) {
            val ends = index == points.size || Unicode.isWhitespace(points[index])
            val alone = !ends && Unicode.isPunctuation(points[index])
            if (!ends && !alone) continue
            if (index > start) model.encode(points, start, index, ids)
            if (alone) model.encode(points, index, index + 1, ids)
            start = index + 1
        }
    }

    /** The text cut at special tokens that it spells out, such as `[SEP]`; the longest wins where two begin. */
    private fun segments(text: String): List<Pair<String, Int?>> {
        val segments = ArrayList<Pair<String, Int?>>()
        var start = 0
        var index = 0
        while (index < text.length) {
            val found = special.keys.filter { text.startsWith(it, index) }.maxByOrNull { it.length }
            if (found == null) {
                index++
                continue
            }
            if (index > start) segments.add(text.substring(start, index) to null)
            segments.add(found to special.getValue(found))
            index += found.length
            start = index
        }
        if (start < text.length) segments.add(text.substring(start) to null)
        return segments
    }

    companion object {
        /**
         * The tokenizer that [json], the content of a `tokenizer.json`, describes; texts are cut to [maxLength] tokens.
         *
         * Raises [UserError] if it isn't of the kind that this class reads.
         */
        fun read(json: String, maxLength: Int): Tokenizer {
            val root = Fields(Json.parse(json), "tokenizer.json")
            val normalizer = root.fields("normalizer").kind("BertNormalizer")
            root.fields("pre_tokenizer").kind("BertPreTokenizer")
            val model = root.fields("model").kind("WordPiece")
            val vocabulary = model.fields("vocab").all().mapValues { (_, id) -> (id as? Long)?.toInt() ?: model.fail("vocab: whole numbers expected") }
            val lowercase = normalizer.boolean("lowercase")
            val (before, after) = template(root)
            if (maxLength < before.size + after.size) throw UserError("a maximum length of $maxLength has no room for the special tokens")
            return Tokenizer(
                BertNormalizer(
                    normalizer.boolean("clean_text"),
                    normalizer.boolean("handle_chinese_chars"),
                    normalizer.booleanOrNull("strip_accents") ?: lowercase,
                    lowercase,
                ),
                WordPiece(
                    vocabulary,
                    vocabulary[model.string("unk_token")] ?: model.fail("unk_token is not in the vocabulary"),
                    model.string("continuing_subword_prefix"),
                    model.int("max_input_chars_per_word"),
                ),
                addedTokens(root),
                before,
                after,
                maxLength,
            )
        }

        private fun addedTokens(root: Fields): Map<String, Int> = root.list("added_tokens").associate { item ->
            val token = Fields(item, "tokenizer.json, added_tokens")
            if (listOf("single_word", "lstrip", "rstrip", "normalized").any(token::boolean)) {
                token.fail("only plain special tokens can be read here")
            }
            token.string("content") to token.int("id")
        }

        /** Ids before and after the text, from a TemplateProcessing's `single`. */
        private fun template(root: Fields): Pair<IntArray, IntArray> {
            val processor = root.fields("post_processor").kind("TemplateProcessing")
            val tokens = processor.fields("special_tokens")
            val sides = listOf(IntList(), IntList())
            var side = 0
            for (item in processor.list("single")) {
                val part = Fields(item, "tokenizer.json, post_processor")
                if (part.has("Sequence")) {
                    side = 1
                    continue
                }
                val ids = tokens.fields(part.fields("SpecialToken").string("id")).list("ids")
                ids.forEach { sides[side].add((it as? Long)?.toInt() ?: part.fail("ids: whole numbers expected")) }
            }
            return sides[0].toArray() to sides[1].toArray()
        }
    }
}
