package org.tlmedge.demo

import android.content.Context
import java.io.File
import java.io.IOException
import java.io.InputStream
import org.tlmedge.core.Bundle
import org.tlmedge.core.BundleImport
import org.tlmedge.core.EngineFactory
import org.tlmedge.core.EvaluationTexts
import org.tlmedge.core.Manifest
import org.tlmedge.core.UserError

/** A model of the app: its bundle, or why it can't be used. */
class Model(val folder: File, val shipped: Boolean, val bundle: Bundle?, val problem: String?) {
    val name: String get() = bundle?.manifest?.name ?: folder.name
}

/** The models: those of the APK's assets, unpacked once, and those that the user imported. */
class Library(private val context: Context) {
    private val imported = File(context.noBackupFilesDir, "imported")

    /** All models, the shipped first; opens every bundle and checks its hashes. Not for the main thread. */
    fun models(): List<Model> = shipped() + imported.listFiles().orEmpty().filter { it.isDirectory && !it.name.endsWith(".partial") }.sorted().map { open(it, false) }

    /** Adds the zipped bundle in [zip]. Raises [UserError] if it isn't one; see [BundleImport]. */
    fun import(zip: InputStream): Bundle {
        imported.listFiles().orEmpty().filter { it.name.endsWith(".partial") }.forEach { it.deleteRecursively() }
        return BundleImport().read(zip, imported)
    }

    fun remove(model: Model) {
        check(!model.shipped)
        model.folder.deleteRecursively()
    }

    /** The labelled texts that come with the app. */
    fun texts(): EvaluationTexts = EvaluationTexts.read(
        "models/evaluation/agnews.jsonl", context.assets.open("evaluation/agnews.jsonl").bufferedReader().use { it.readText() },
    )

    private fun shipped(): List<Model> = carried().map { name ->
        // The install time is part of the name, so that an update of the app brings its own models.
        val installed = context.packageManager.getPackageInfo(context.packageName, 0).lastUpdateTime
        val home = File(context.noBackupFilesDir, "shipped-$installed")
        val folder = File(home, name)
        if (!folder.isDirectory) unpack("models/$name", folder)
        open(folder, true)
    }

    /** Names of the bundles in the APK. Robolectric lists the files in a folder's folders too, where Android lists the folders. */
    private fun carried(): List<String> = context.assets.list("models").orEmpty().map { it.substringBefore('/') }.distinct().sorted()

    private fun unpack(asset: String, folder: File) {
        val partial = File(folder.path + ".partial")
        partial.deleteRecursively()
        partial.mkdirs()
        val manifest = Manifest.parse(context.assets.open("$asset/${Manifest.FILE}").bufferedReader().use { it.readText() })
        for (file in manifest.files.keys + Manifest.FILE) {
            val own = File(partial, file).apply { parentFile?.mkdirs() }
            context.assets.open("$asset/$file").use { source -> own.outputStream().use(source::copyTo) }
        }
        if (!partial.renameTo(folder)) throw IOException("no room for the models of the app")
        context.noBackupFilesDir.listFiles().orEmpty().filter { it.name.startsWith("shipped-") && it != folder.parentFile }.forEach { it.deleteRecursively() }
    }

    private fun open(folder: File, shipped: Boolean): Model = try {
        Model(folder, shipped, Bundle.open(folder), null)
    } catch (error: UserError) {
        Model(folder, shipped, null, error.message)
    }

    companion object {
        /** Target → the engine's class. An app without a runtime leaves its engine out, and this file needs no change. */
        private val ENGINES = mapOf(
            "onnx" to "org.tlmedge.engines.OnnxEngine",
            "tflite" to "org.tlmedge.engines.TfliteEngine",
            "executorch" to "org.tlmedge.engines.ExecutorchEngine",
        )

        /** What opens bundles of [target]; null if this build of the app has no runtime for them. */
        fun engine(target: String): EngineFactory? = try {
            ENGINES[target]?.let { Class.forName(it).getField("Companion").get(null) as EngineFactory }
        } catch (_: ClassNotFoundException) {
            null
        }
    }
}
