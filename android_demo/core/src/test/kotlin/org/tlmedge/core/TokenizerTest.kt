package org.tlmedge.core

import java.io.File
import kotlin.random.Random
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class TokenizerTest {
    private val json = File(Vectors.models, "agnews-committee/tokenizer.json").readText()
    private val tokenizer = Tokenizer.read(json, 128)

    @Test
    fun idsAreThoseOfThePythonTokenizer() {
        val vectors = Vectors.lines("tokens.jsonl")
        assertTrue("${vectors.size} texts", vectors.size >= 2000)
        val tokenizers = HashMap<Pair<String, Int>, Tokenizer>()
        for (vector in vectors) {
            val key = vector["tokenizer"] as String to (vector["max_length"] as Long).toInt()
            val own = tokenizers.getOrPut(key) { Tokenizer.read(File(key.first).readText(), key.second) }
            val text = vector["text"] as String
            assertArrayEquals("$key: $text", Vectors.ints(vector["ids"]), own.encode(text))
        }
        println("${vectors.size} texts, ${tokenizers.size} tokenizers: token ids identical")
    }

    @Test
    fun noTextMakesItFail() {
        val random = Random(7)
        repeat(20_000) {
            val text = String(CharArray(random.nextInt(40)) { random.nextInt(0x10000).toChar() })
            val ids = tokenizer.encode(text)
            assertTrue(ids.size in 2..128)
            assertEquals(2, ids.first())
            assertEquals(3, ids.last())
        }
    }

    @Test
    fun longTextsAreCut() {
        assertEquals(128, tokenizer.encode("word ".repeat(100_000)).size)
        assertEquals(3, tokenizer.encode("x".repeat(1_000_000)).size)
        assertTrue(tokenizer.encode("e" + "\u0301\u0323".repeat(100_000)).size <= 128)
    }

    @Test
    fun otherKindsOfTokenizerAreRefused() {
        val wrong = listOf(
            json.replace("\"WordPiece\",\n    \"unk", "\"BPE\",\n    \"unk"),
            json.replace("BertNormalizer", "NFKC"),
            json.replace("TemplateProcessing", "RobertaProcessing"),
            json.replace("BertPreTokenizer", "Whitespace"),
            json.dropLast(1_000),
            "[]",
            "",
        )
        for (text in wrong) assertThrows(UserError::class.java) { Tokenizer.read(text, 128) }
        assertThrows(UserError::class.java) { Tokenizer.read(json, 1) }
    }
}
