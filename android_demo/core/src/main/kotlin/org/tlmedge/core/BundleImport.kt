package org.tlmedge.core

import java.io.File
import java.io.IOException
import java.io.InputStream
import java.io.OutputStream
import java.util.zip.ZipEntry
import java.util.zip.ZipException
import java.util.zip.ZipInputStream

/** What an imported zip may hold at most. */
class ImportLimits(val bytes: Long = 512L shl 20, val entries: Int = 64, val manifestBytes: Int = 1 shl 20)

/** Brings a zipped bundle of unknown origin into a folder of ours. */
class BundleImport(private val limits: ImportLimits = ImportLimits()) {
    /**
     * Unpacks the bundle that [zip] holds into a folder below [home], named after the SHA-256 of its manifest, and opens it.
     *
     * Nothing is left behind where it fails. Raises [UserError] if the zip can't be read, is too large, has names that lead
     * out of its folder, or isn't a bundle whose files are those of its manifest.
     */
    fun read(zip: InputStream, home: File): Bundle {
        home.mkdirs()
        val folder = File.createTempFile("import-", ".partial", home)
        if (!folder.delete() || !folder.mkdir()) throw UserError("no folder could be made in ${home.name}: free some space")
        try {
            val bundle = Bundle.open(bundleFolder(folder, unpack(zip, folder)))
            onlyListedFiles(bundle)
            val place = File(home, bundle.manifestSha256.take(16))
            if (place.isDirectory) return Bundle.open(place)
            if (!bundle.folder.renameTo(place)) throw UserError("the bundle could not be moved into its place: free some space")
            return Bundle.open(place)
        } catch (error: ZipException) {
            throw UserError("the file is not a readable zip (${error.message}): copy it again", error)
        } catch (error: IOException) {
            throw UserError("the file could not be unpacked (${error.message}): copy it again, or free some space", error)
        } catch (error: IllegalArgumentException) {
            throw UserError("the file is not a readable zip (${error.message}): copy it again", error)
        } finally {
            folder.deleteRecursively()
        }
    }

    /** Names of the files that were unpacked. */
    private fun unpack(zip: InputStream, folder: File): List<String> {
        val names = ArrayList<String>()
        var left = limits.bytes
        ZipInputStream(zip).use { stream ->
            while (true) {
                val entry: ZipEntry = stream.nextEntry ?: break
                if (entry.isDirectory) continue
                if (!Manifest.isInside(entry.name)) throw UserError("the name '${entry.name}' leads out of the bundle; it is refused")
                if (entry.name in names) throw UserError("the name '${entry.name}' is there twice; the file is refused")
                if (names.size == limits.entries) throw UserError("it has more than ${limits.entries} files: it is not a bundle")
                names.add(entry.name)
                val file = Manifest.below(folder, entry.name)
                file.parentFile?.mkdirs()
                val most = if (file.name == Manifest.FILE) minOf(left, limits.manifestBytes.toLong()) else left
                left -= file.outputStream().use { copy(stream, it, most, entry.name) }
            }
        }
        if (names.isEmpty()) throw UserError("the file is not a zip, or an empty one: choose the zip of a bundle")
        return names
    }

    /** Bytes copied; what an entry unpacks to counts, not what its header says. */
    private fun copy(source: InputStream, sink: OutputStream, most: Long, name: String): Long {
        val buffer = ByteArray(1 shl 16)
        var copied = 0L
        while (true) {
            val read = source.read(buffer)
            if (read < 0) return copied
            copied += read
            if (copied > most) throw UserError("$name is too large: a bundle may unpack to ${limits.bytes shr 20} MB, its manifest to 1 MB")
            sink.write(buffer, 0, read)
        }
    }

    /** A zip made from the folder, rather than from its content, has everything one level down. */
    private fun bundleFolder(folder: File, names: List<String>): File {
        val manifest = names.filter { it == Manifest.FILE || it.endsWith("/" + Manifest.FILE) }.minByOrNull { it.length }
            ?: throw UserError("the zip is not a bundle: it has no ${Manifest.FILE}; `tlm-edge export --zip` makes one")
        return checkNotNull(Manifest.below(folder, manifest).parentFile)
    }

    private fun onlyListedFiles(bundle: Bundle) {
        val listed = bundle.manifest.files.keys.map { Manifest.below(bundle.folder, it) } + File(bundle.folder, Manifest.FILE)
        bundle.folder.walkTopDown().filter { it.isFile && it !in listed }.forEach { it.delete() }
    }
}
