package org.tlmedge.core

import java.io.Closeable

/** A text's answer with what it took: token ids after cutting, and nanoseconds of tokenization and of the model. */
class Timed(val tokens: Int, val answer: Answer, val tokenizeNanos: Long, val modelNanos: Long) {
    val millis: Double get() = (tokenizeNanos + modelNanos) / 1e6
}

/** A bundle as a classifier: text in, label out. Used by one thread at a time. */
class Classifier(val bundle: Bundle, val engine: Engine) : Closeable {
    val tokenizer: Tokenizer = bundle.tokenizer()

    fun classify(text: String): Timed {
        val start = System.nanoTime()
        val ids = tokenizer.encode(text)
        val tokenized = System.nanoTime()
        val answer = engine.run(ids)
        return Timed(ids.size, answer, tokenized - start, System.nanoTime() - tokenized)
    }

    override fun close() = engine.close()
}
