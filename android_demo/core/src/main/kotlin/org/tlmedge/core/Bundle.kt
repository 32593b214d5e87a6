package org.tlmedge.core

import java.io.File
import java.io.InputStream
import java.security.MessageDigest

/** A bundle in [folder] whose files are those of its manifest; [manifestSha256] fixes its content. */
class Bundle private constructor(val folder: File, val manifest: Manifest, val manifestSha256: String, private val manifestBytes: Int) {
    /** The files that the runtime loads: one, or the members' in voting order. */
    val modelFiles: List<File> get() = manifest.modelFiles.map { Manifest.below(folder, it) }

    /** Bytes of all its files, the manifest too. */
    val bytes: Long get() = manifest.bytes + manifestBytes

    /** The tokenizer that travels with the model. */
    fun tokenizer(): Tokenizer =
        Tokenizer.read(Manifest.below(folder, manifest.tokenizerFile).readText(), manifest.maxLength)

    companion object {
        /** Opens the bundle in [folder] and compares every file with the manifest. Raises [UserError] if one differs. */
        fun open(folder: File): Bundle {
            val file = File(folder, Manifest.FILE)
            if (!file.isFile) throw UserError("${folder.name} is not a bundle: it has no ${Manifest.FILE}")
            val content = file.readBytes()
            val manifest = Manifest.parse(content.decodeToString())
            for ((name, record) in manifest.files) {
                val own = Manifest.below(folder, name)
                if (!own.isFile) throw UserError("${manifest.name} lacks $name: import the bundle again")
                if (own.length() != record.bytes) {
                    throw UserError("$name of ${manifest.name} is ${own.length()} bytes long instead of ${record.bytes}: import the bundle again")
                }
                if (own.inputStream().use(::sha256) != record.sha256) {
                    throw UserError("$name of ${manifest.name} was altered: it is not the file that was exported; import the bundle again")
                }
            }
            return Bundle(folder, manifest, sha256(content.inputStream()), content.size)
        }

        /** SHA-256 of what is left in [stream], in lower-case hexadecimal. */
        fun sha256(stream: InputStream): String {
            val digest = MessageDigest.getInstance("SHA-256")
            val buffer = ByteArray(1 shl 16)
            while (true) {
                val read = stream.read(buffer)
                if (read < 0) break
                digest.update(buffer, 0, read)
            }
            return digest.digest().joinToString("") { "%02x".format(it) }
        }
    }
}
