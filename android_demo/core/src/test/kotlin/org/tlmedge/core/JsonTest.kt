package org.tlmedge.core

import kotlin.random.Random
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

class JsonTest {
    @Test
    fun whatIsWrittenReadsTheSame() {
        val value = mapOf("a" to listOf(1L, -2.5, 1e-7, true, null, "\"\\\n\t\u0000é😀\ud800"), "b" to mapOf<String, Any?>(), "" to listOf<Any?>())
        assertEquals(value, Json.parse(Json.write(value)))
    }

    @Test
    fun whatIsNoJsonIsRefused() {
        val wrong = listOf("", "{", "[1,]", "{\"a\" 1}", "01", "+1", "nul", "\"\n\"", "\"\\x\"", "\"\\u12g4\"", "1 2", "[".repeat(100_000), "NaN", "1e", "'a'")
        for (text in wrong) assertThrows("'${text.take(20)}'", UserError::class.java) { Json.parse(text) }
    }

    @Test
    fun noBytesMakeItFailOtherwise() {
        val random = Random(3)
        val alphabet = "{}[]\",:0123456789eE+-.truefalsn\\u \n"
        repeat(50_000) {
            val text = String(CharArray(random.nextInt(30)) { alphabet[random.nextInt(alphabet.length)] })
            try {
                Json.parse(text)
            } catch (_: UserError) {
                // as it should
            }
        }
    }
}
