package org.tlmedge.demo

import android.content.Context
import android.os.Handler
import android.os.Looper
import java.io.IOException
import org.tlmedge.core.UserError

/** The benchmark that is running, if one is; it goes on while the activity is turned. Main thread only. */
class Run private constructor(val benchmark: Benchmark) {
    var what = ""
        private set
    var done = 0
        private set
    var steps = 1
        private set

    companion object {
        private val main = Handler(Looper.getMainLooper())

        var current: Run? = null
            private set

        /** What came of the last one, where that has to be said. */
        var message: String? = null
            private set

        /** Called when anything of this changes. */
        var listener: (() -> Unit)? = null

        fun begin(context: Context, plan: Plan) {
            val application = context.applicationContext
            val run = Run(Benchmark(application))
            current = run
            message = ""
            Thread({ work(application, plan, run) }, "benchmark").start()
        }

        private fun work(context: Context, plan: Plan, run: Run) {
            val words = try {
                val records = run.benchmark.run(plan) { what, done, steps ->
                    main.post {
                        run.what = what
                        run.done = done
                        run.steps = steps
                        listener?.invoke()
                    }
                }
                Benchmark.keep(context, records)
                ""
            } catch (_: Benchmark.Stopped) {
                context.getString(R.string.stopped)
            } catch (error: UserError) {
                error.message
            } catch (error: IOException) {
                error.message
            }
            main.post {
                current = null
                message = words
                listener?.invoke()
            }
        }
    }
}
