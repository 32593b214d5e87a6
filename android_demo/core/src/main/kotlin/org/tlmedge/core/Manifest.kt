package org.tlmedge.core

import java.io.File

/** A file of a bundle: its SHA-256 in lower-case hexadecimal and its size in bytes. */
class FileRecord(val sha256: String, val bytes: Long)

/** The checkpoint or committee that was exported. */
class Source(val name: String, val sha256: String, val architecture: String, val members: Int, val parameters: Long)

/** Accuracy of the file on [texts] labelled texts, as measured when it was exported. */
class Accuracy(val accuracy: Double, val texts: Int, val data: String)

/**
 * The content of a bundle's `manifest.json`, schema version 1 (`tlm_edge/runtime/manifest.schema.json`).
 *
 * Fields that the schema doesn't know are refused, as it asks: who passes over one, such as `weights`, gives other answers.
 */
class Manifest private constructor(root: Fields) {
    val name: String = root.string("name")
    val target: String = root.string("target")
    val precision: String = root.string("precision")
    val rewrite: String = root.string("rewrite")
    val labels: List<String> = root.strings("labels")
    val maxLength: Int = root.int("max_length")
    val padTokenId: Int = root.int("pad_token_id")
    val modelFile: String = root.string("model_file")
    val tokenizerFile: String = root.string("tokenizer_file")

    /** The members' files in voting order where each has its own, [modelFile] the first; empty where one file holds all. */
    val memberFiles: List<String> = if (root.has("member_files")) root.strings("member_files") else listOf()

    /** When which of [memberFiles] is asked; null where all are. */
    val cascade: Cascade? = if (!root.has("cascade")) null else root.fields("cascade").only("order", "margins").let { Cascade(it.ints("order"), it.numbers("margins")) }

    /** The weights of the members' votes, together 1; empty where all count the same. */
    val weights: List<Double> = if (root.has("weights")) root.numbers("weights") else listOf()
    val files: Map<String, FileRecord> = root.fields("files").let { files ->
        files.names().associateWith { name -> files.fields(name).only("sha256", "bytes").let { FileRecord(it.string("sha256"), it.long("bytes")) } }
    }
    val source: Source = root.fields("source").only(*SOURCE).let {
        Source(it.string("name"), it.string("sha256"), it.string("architecture"), it.int("members"), it.long("parameters"))
    }

    /** Null where no labelled texts were at hand. */
    val accuracy: Accuracy? = if (!root.has("accuracy")) null else root.fields("accuracy").only(*ACCURACY).let {
        Accuracy(it.number("accuracy"), it.int("texts"), it.string("data"))
    }

    /** How the members lie in the bundle: in one file, in files of their own, or in files that are asked in turn. */
    val layout: String get() = if (cascade != null) "cascade" else if (memberFiles.isNotEmpty()) "apart" else "fused"

    /** The files that the runtime loads: one, or one a member. */
    val modelFiles: List<String> get() = memberFiles.ifEmpty { listOf(modelFile) }

    /** Bytes of all files but the manifest. */
    val bytes: Long get() = files.values.sumOf { it.bytes }

    init {
        root.only(*FIELDS)
        if (labels.isEmpty() || labels.toSet().size != labels.size) root.fail("labels: at least one, all different, expected")
        if (maxLength < 1) root.fail("max_length: at least 1 expected")
        for ((name, record) in files) {
            if (!isInside(name)) root.fail("files: the name '$name' leads out of the bundle")
            if (!SHA256.matches(record.sha256) || record.bytes < 0) root.fail("files.$name: a SHA-256 and a size expected")
        }
        for (name in modelFiles + modelFile + tokenizerFile) {
            if (name !in files) root.fail("files: '$name' is not among them")
        }
        checkMembers(root)
    }

    private fun checkMembers(root: Fields) {
        if (memberFiles.isNotEmpty() && (memberFiles.size != source.members || memberFiles[0] != modelFile)) {
            root.fail("member_files: none, or one a member, model_file the first, expected")
        }
        Vote.weightsFault(weights, source.members)?.let { root.fail("weights: $it") }
        if (cascade == null) return
        cascade.fault()?.let { root.fail("cascade: $it") }
        if (cascade.order.size != memberFiles.size) root.fail("cascade: it has to order the member_files")
    }

    companion object {
        const val FILE = "manifest.json"
        const val SCHEMA_VERSION = 1L
        private val SHA256 = Regex("[0-9a-f]{64}")
        private val SOURCE = arrayOf("name", "kind", "architecture", "members", "parameters", "sha256")
        private val ACCURACY = arrayOf("data", "sha256", "texts", "accuracy", "macro_f1", "source_accuracy", "allowed_drop")
        private val FIELDS = arrayOf(
            "schema_version", "name", "target", "precision", "rewrite", "delegated", "labels", "max_length", "lengths", "pad_token_id", "model_file",
            "tokenizer_file", "inputs", "outputs", "files", "source", "versions", "parity", "accuracy", "member_files", "cascade", "weights",
        )

        /** The manifest that [json] holds. Raises [UserError] if it isn't one, or is newer than this app. */
        fun parse(json: String): Manifest {
            val root = Fields(Json.parse(json), FILE)
            val version = root.long("schema_version")
            if (version > SCHEMA_VERSION) {
                throw UserError("the bundle is of schema version $version and this app reads up to $SCHEMA_VERSION: install a newer app")
            }
            if (version < 1) root.fail("schema_version: at least 1 expected")
            return Manifest(root)
        }

        /** Whether a file name of a bundle stays in its folder: relative, of plain parts, on any operating system. */
        fun isInside(name: String): Boolean =
            name.isNotEmpty() && name.none { it in "\\:\u0000" } && name.split('/').none { it.isEmpty() || it == "." || it == ".." }

        /** [name] of a bundle as a file below [folder]. */
        internal fun below(folder: File, name: String): File = name.split('/').fold(folder, ::File)
    }
}
