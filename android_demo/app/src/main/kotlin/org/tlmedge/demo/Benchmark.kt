package org.tlmedge.demo

import android.content.Context
import java.io.File
import java.util.concurrent.atomic.AtomicBoolean
import org.tlmedge.core.Bundle
import org.tlmedge.core.Entry
import org.tlmedge.core.Json
import org.tlmedge.core.Measure
import org.tlmedge.core.Protocol
import org.tlmedge.core.RecordWriter
import org.tlmedge.core.Session
import org.tlmedge.core.UserError

/** What to measure: bundles side by side, at every number of threads. [command] repeats it, for the record. */
class Plan(val bundles: List<Bundle>, val profile: String, val threads: List<Int>, val seed: Int, val command: String)

/** Runs a plan and writes a record a bundle and number of threads. */
class Benchmark(private val context: Context) {
    private val stopped = AtomicBoolean()

    /** Ends the run at the next step; [run] raises [Stopped]. */
    fun stop() = stopped.set(true)

    /** The records, as JSON objects. Raises [UserError] if a bundle can't be run here. Not for the main thread. */
    fun run(plan: Plan, progress: (String, Int, Int) -> Unit): List<Map<String, Any?>> {
        val profile = Protocol.profile(plan.profile)
        val texts = Library(context).texts()
        val entries = plan.bundles.flatMap { bundle ->
            val target = bundle.manifest.target
            val engine = Library.engine(target) ?: throw UserError(context.getString(R.string.runtime_missing, target))
            plan.threads.map { Entry("${bundle.manifest.name}-t$it", bundle, it, engine) }
        }
        val surroundings = AndroidSurroundings(context)
        val measure = Measure(surroundings) { what, done, steps ->
            if (stopped.get()) throw Stopped()
            progress(what, done, steps)
        }
        val outcomes = measure.run(entries, profile, texts.texts, Protocol.textsToTime(texts.texts, profile, plan.seed))
        val session = Session(profile, plan.seed, plan.command, device = "android", transport = "android")
        val version = checkNotNull(context.packageManager.getPackageInfo(context.packageName, 0).versionName)
        val writer = RecordWriter(session, surroundings.machine(), texts, version)
        return outcomes.map { writer.record(it, outcomes) }
    }

    /** The user stopped the run. */
    class Stopped : RuntimeException()

    companion object {
        /** Where records are kept; part of the backup. */
        fun folder(context: Context): File = File(context.filesDir, "records")

        /** Keeps the records of the latest run, one file for all, and gives the file. */
        fun keep(context: Context, records: List<Map<String, Any?>>): File {
            val folder = folder(context).apply { mkdirs() }
            val partial = File(folder, "latest.partial")
            partial.writeText(Json.write(records))
            val file = File(folder, LATEST)
            if (!partial.renameTo(file)) throw java.io.IOException("the records could not be kept: free some space")
            return file
        }

        /** The records of the latest run; empty if there was none. */
        fun latest(context: Context): List<Map<*, *>> {
            val file = File(folder(context), LATEST)
            if (!file.isFile) return listOf()
            return try {
                (Json.parse(file.readText()) as List<*>).map { it as Map<*, *> }
            } catch (_: UserError) {
                listOf()
            }
        }

        private const val LATEST = "latest.json"
    }
}
