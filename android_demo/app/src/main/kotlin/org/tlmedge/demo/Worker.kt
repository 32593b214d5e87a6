package org.tlmedge.demo

import android.content.Context
import android.os.Handler
import android.os.Looper
import java.util.concurrent.Executors
import java.util.concurrent.atomic.AtomicInteger
import org.tlmedge.core.Classifier
import org.tlmedge.core.Timed
import org.tlmedge.core.UserError

/** What a model said of the text, the median milliseconds of its last runs and how many these were; or why it couldn't. */
class Reply(val timed: Timed?, val medianMs: Double, val runs: Int, val problem: String?)

/**
 * The one thread that models run on. It outlives rotation: an activity attaches its listener and takes it away again.
 *
 * Typing is debounced, and what was asked before the latest text is dropped, between two models at the latest.
 */
class Worker private constructor(private val application: Context) {
    private val library = Library(application)
    private val thread = Executors.newSingleThreadExecutor { Thread(it, "models") }
    private val main = Handler(Looper.getMainLooper())
    private val latest = AtomicInteger()
    private val classifiers = HashMap<String, Classifier>()
    private val recent = HashMap<String, ArrayDeque<Double>>()

    /** Does [work] on the models' thread and [then] on the main thread with what came of it, or with the error's message. */
    fun <T> run(work: (Library) -> T, then: (T?, String?) -> Unit) = thread.execute {
        try {
            val result = work(library)
            main.post { then(result, null) }
        } catch (error: UserError) {
            main.post { then(null, error.message) }
        } catch (error: java.io.IOException) {
            main.post { then(null, error.message ?: error.javaClass.simpleName) }
        }
    }

    /** Asks every model for its answer to [text], once typing has paused; [reply] gets them on the main thread. */
    fun classify(models: List<Model>, text: String, reply: (Model, Reply) -> Unit) {
        val number = latest.incrementAndGet()
        main.postDelayed({
            if (number == latest.get()) {
                for (model in models) {
                    thread.execute {
                        if (number == latest.get()) {
                            val answer = answer(model, text)
                            main.post { if (number == latest.get()) reply(model, answer) }
                        }
                    }
                }
            }
        }, DEBOUNCE_MS)
    }

    /** Drops what was asked and not yet answered. */
    fun cancel() {
        latest.incrementAndGet()
    }

    /** Frees the memory of all models. */
    fun release() = thread.execute {
        classifiers.values.forEach { it.close() }
        classifiers.clear()
    }

    private fun answer(model: Model, text: String): Reply {
        val bundle = model.bundle ?: return Reply(null, 0.0, 0, model.problem)
        return try {
            val classifier = classifiers.getOrPut(model.folder.path) {
                val factory = Library.engine(bundle.manifest.target) ?: return Reply(null, 0.0, 0, null)
                // The first run, which sets things up, is not what the next ones take.
                Classifier(bundle, factory.open(bundle, 1)).also { it.classify(text) }
            }
            val timed = classifier.classify(text)
            val times = recent.getOrPut(model.folder.path) { ArrayDeque() }
            times.addLast(timed.millis)
            if (times.size > RECENT) times.removeFirst()
            Reply(timed, org.tlmedge.core.Statistics.median(times.toList()), times.size, null)
        } catch (error: UserError) {
            Reply(null, 0.0, 0, error.message)
        }
    }

    companion object {
        private const val DEBOUNCE_MS = 120L
        private const val RECENT = 20
        private var shared: Worker? = null

        /** The worker of this process. Main thread only. */
        fun of(context: Context): Worker {
            val application = context.applicationContext
            return shared?.takeIf { it.application === application } ?: Worker(application).also { shared = it }
        }
    }
}
