package org.tlmedge.demo

import android.app.Activity
import android.app.Instrumentation
import android.os.Bundle
import java.io.File
import org.tlmedge.core.Json
import org.tlmedge.core.UserError

/**
 * The benchmark without screens, for `tlm-edge android bench`.
 *
 * Arguments: `bundles` (folders of `files/bench`, separated by commas; the shipped models if there are none), `profile`, `threads` (separated
 * by commas), `seed`, `command`. The records go to `files/records/bench.json`; the result tells `tlm_records`, that file, or
 * `tlm_error`.
 */
class BenchInstrumentation : Instrumentation() {
    private var given = Bundle()

    override fun onCreate(arguments: Bundle?) {
        super.onCreate(arguments)
        given = arguments ?: Bundle()
        start()
    }

    override fun onStart() {
        super.onStart()
        val result = Bundle()
        try {
            result.putString("tlm_records", bench().path)
            finish(Activity.RESULT_OK, result)
        } catch (error: UserError) {
            result.putString("tlm_error", error.message)
            finish(Activity.RESULT_CANCELED, result)
        }
    }

    /** Runs what the arguments ask for and gives the file of records. */
    private fun bench(): File {
        val file = File(Benchmark.folder(targetContext).apply { mkdirs() }, "bench.json")
        file.delete()
        val plan = Plan(
            bundles = bundles(),
            profile = given.getString("profile") ?: "rapid",
            threads = numbers(given.getString("threads") ?: "1"),
            seed = (given.getString("seed") ?: "0").toIntOrNull() ?: throw UserError("seed: a whole number expected"),
            command = given.getString("command") ?: "adb shell am instrument -w org.tlmedge.demo/.BenchInstrumentation",
        )
        val records = Benchmark(targetContext).run(plan) { what, done, steps ->
            sendStatus(0, Bundle().apply { putString("tlm_progress", "$done/$steps $what") })
        }
        file.writeText(Json.write(records))
        return file
    }

    private fun bundles(): List<org.tlmedge.core.Bundle> {
        val named = given.getString("bundles").orEmpty().split(',').filter { it.isNotEmpty() }
        if (named.any { !NAME.matches(it) }) throw UserError("bundles: names of folders separated by commas expected")
        if (named.isNotEmpty()) return named.map { org.tlmedge.core.Bundle.open(File(targetContext.filesDir, "bench/$it")) }
        return Library(targetContext).models().filter { it.shipped }.map { it.bundle ?: throw UserError(it.problem.orEmpty()) }
    }

    private fun numbers(text: String): List<Int> = text.split(',').map {
        it.toIntOrNull()?.takeIf { count -> count > 0 } ?: throw UserError("threads: whole numbers separated by commas expected, '$text' found")
    }

    private companion object {
        val NAME = Regex("[0-9a-f]{1,64}")
    }
}
