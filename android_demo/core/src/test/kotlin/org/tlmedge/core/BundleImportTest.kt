package org.tlmedge.core

import java.io.ByteArrayOutputStream
import java.io.File
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import kotlin.random.Random
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class BundleImportTest {
    @get:Rule val temporary = TemporaryFolder()
    private val source = File(Vectors.models, "agnews-bert-1/onnx-int8")
    private val files = checkNotNull(source.listFiles()).filter { it.isFile }.associate { it.name to it.readBytes() }
    private val home by lazy { temporary.newFolder("bundles") }

    private fun zip(files: Map<String, ByteArray>): ByteArray = ByteArrayOutputStream().also { out ->
        ZipOutputStream(out).use { zip ->
            for ((name, content) in files) {
                zip.putNextEntry(ZipEntry(name))
                zip.write(content)
            }
        }
    }.toByteArray()

    private fun read(zip: ByteArray, limits: ImportLimits = ImportLimits()): Bundle = BundleImport(limits).read(zip.inputStream(), home)

    private fun refused(zip: ByteArray, words: String, limits: ImportLimits = ImportLimits()) {
        val error = assertThrows(UserError::class.java) { read(zip, limits) }
        assertTrue("${error.message} should speak of '$words'", words in error.message.orEmpty())
        assertEquals("nothing is left behind", 0, home.list().orEmpty().size)
        assertFalse("nothing was written outside", File(temporary.root, "evil").exists())
    }

    @Test
    fun aBundleIsUnpackedAndOpened() {
        val bundle = read(zip(files))
        assertEquals("agnews-bert-1-onnx-int8", bundle.manifest.name)
        assertEquals(listOf(bundle.manifestSha256.take(16)), home.list().orEmpty().toList())
        assertEquals("a second time, it is the same", bundle.folder, read(zip(files)).folder)
    }

    @Test
    fun aZipOfTheFolderItselfWorksToo() {
        val bundle = read(zip(files.mapKeys { "bundle/${it.key}" } + ("bundle/notes.txt" to ByteArray(9))))
        assertEquals(4, bundle.manifest.labels.size)
        assertFalse("what the manifest doesn't name goes", File(bundle.folder, "notes.txt").exists())
    }

    @Test
    fun namesThatLeadOutAreRefused() {
        for (name in listOf("../evil", "/evil", "a/../../evil", "..\\evil", "C:evil", "a//evil", "./evil")) {
            refused(zip(files + (name to ByteArray(3))), "leads out")
        }
    }

    @Test
    fun aManifestThatLeadsOutIsRefused() {
        val manifest = files.getValue("manifest.json").decodeToString().replace("\"vocab.txt\"", "\"../vocab.txt\"")
        refused(zip(files + ("manifest.json" to manifest.encodeToByteArray())), "leads out")
    }

    @Test
    fun alteredFilesAreRefused() {
        val model = files.getValue("model.onnx").copyOf().also { it[1000] = (it[1000] + 1).toByte() }
        refused(zip(files + ("model.onnx" to model)), "altered")
        refused(zip(files + ("model.onnx" to model.copyOf(10))), "10 bytes long")
        refused(zip(files - "vocab.txt"), "lacks vocab.txt")
    }

    @Test
    fun otherThingsAreRefused() {
        refused(ByteArray(0), "not a zip")
        refused(Random(1).nextBytes(1000), "not a zip")
        refused(zip(mapOf("a.txt" to ByteArray(3))), "no manifest.json")
        refused(zip(mapOf("manifest.json" to "{}".encodeToByteArray())), "schema_version")
        val newer = files.getValue("manifest.json").decodeToString().replace("\"schema_version\": 1", "\"schema_version\": 2")
        refused(zip(files + ("manifest.json" to newer.encodeToByteArray())), "newer app")
    }

    /** As the schema asks; see [Manifest]. */
    @Test
    fun fieldsThatTheSchemaDoesNotKnowAreRefused() {
        val manifest = files.getValue("manifest.json").decodeToString()
        for (field in listOf("\"name\": \"", "\"kind\": ", "\"sha256\": ", "\"macro_f1\": ")) {
            val changed = manifest.replaceFirst(field, "\"threshold\": 1, $field")
            assertTrue("$field is in the manifest", changed.length > manifest.length)
            refused(zip(files + ("manifest.json" to changed.encodeToByteArray())), "'threshold' is unknown")
        }
    }

    @Test
    fun sizesAreLimitedByWhatUnpacks() {
        refused(zip(mapOf("zeros" to ByteArray(3 shl 20))), "too large", ImportLimits(bytes = 2 shl 20))
        refused(zip(mapOf("manifest.json" to ByteArray(2 shl 20))), "too large")
        refused(zip((0..64).associate { "f$it" to ByteArray(1) }), "64 files")
    }

    @Test
    fun damagedZipsAreRefused() {
        val whole = zip(files)
        val random = Random(5)
        repeat(60) {
            val damaged = whole.copyOf(if (it % 2 == 0) random.nextInt(whole.size) else whole.size)
            repeat(20) { if (damaged.isNotEmpty()) damaged[random.nextInt(damaged.size)] = random.nextInt().toByte() }
            try {
                read(damaged)
            } catch (_: UserError) {
                assertEquals(0, home.list().orEmpty().size)
            }
            home.deleteRecursively()
        }
    }
}
