package org.tlmedge.demo

import android.app.Activity
import android.content.Intent
import android.net.Uri
import android.view.View
import android.widget.Button
import android.widget.TextView
import java.io.ByteArrayOutputStream
import java.io.File
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

/** The app with the real ONNX Runtime of the desktop. */
class AppTest : Screens() {
    private val models = File(checkNotNull(System.getProperty("models")))

    private fun zipOf(folder: File, change: (String, ByteArray) -> ByteArray = { _, content -> content }): ByteArray = ByteArrayOutputStream().also { stream ->
        ZipOutputStream(stream).use { zip ->
            for (file in checkNotNull(folder.listFiles()).filter { it.isFile }) {
                zip.putNextEntry(ZipEntry(file.name))
                zip.write(change(file.name, file.readBytes()))
            }
        }
    }.toByteArray()

    private fun import(activity: MainActivity, zip: ByteArray, name: String) {
        val uri = Uri.parse("content://picker/$name.zip")
        shadowOf(application.contentResolver).registerInputStream(uri, zip.inputStream())
        click(activity, activity.getString(R.string.import_bundle))
        val asked = shadowOf(activity).nextStartedActivityForResult
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, asked.intent.action)
        shadowOf(activity).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(uri))
        waitFor { words(activity).contains(Regex("(Not i|I)mported")) }
    }

    @Test
    fun typingGetsAnswersThatSurviveRotationAndDeath() {
        val controller = launch()
        answered(controller.get(), "Striker scores twice as the champions come from behind to win the cup final")
        waitFor { words(controller.get()).split("ms median").size == 3 }
        val said = words(controller.get())
        assertTrue(said, "Sports, " in said && said.contains(Regex("1: Sports [0-9.]+ % · 2: ")) && "of 3 members agree" in said && "agnews-bert-6" in said)
        screenshot(controller.get(), "classify")

        controller.configurationChange(android.content.res.Configuration(application.resources.configuration).apply { orientation = 2 })
        assertTrue("Striker" in controller.get().findViewById<TextView>(R.id.text).text)
        waitFor { words(controller.get()).split("ms median").size == 3 }

        val state = android.os.Bundle()
        controller.saveInstanceState(state).pause().stop().destroy()
        val again = Robolectric.buildActivity(MainActivity::class.java).setup(state)
        waitFor { "Sports, " in words(again.get()) }
        assertTrue("Striker" in again.get().findViewById<TextView>(R.id.text).text)
        again.pause().stop().destroy()
    }

    @Test
    fun sharedTextIsClassified() {
        val controller = launch(Intent(Intent.ACTION_SEND).setType("text/plain").putExtra(Intent.EXTRA_TEXT, "Shares fell after the bank warned of losses"))
        waitFor { "Business, " in words(controller.get()) }
        controller.pause().stop().destroy()
    }

    @Test
    fun anyTextIsBorne() {
        val controller = launch()
        for (text in listOf("\ud800", "x".repeat(30_000), "👩‍👩‍👧‍👦".repeat(300), " \n\t ", "")) {
            type(controller.get(), text)
            waitFor { if (text.isBlank()) "Type above" in words(controller.get()) else words(controller.get()).split("ms median").size == 3 }
        }
        controller.pause().stop().destroy()
    }

    @Test
    fun goodBundlesAreImportedAndBadOnesExplained() {
        val controller = launch()
        val activity = controller.get()
        click(activity, "Models")
        waitFor { "Accuracy 90.1 % on 7600 texts" in words(activity) }
        screenshot(activity, "models")
        val bundle = File(models, "agnews-bert-1/onnx-int8")
        import(activity, zipOf(bundle) { name, content -> if (name == "model.onnx") content.copyOf(content.size - 1) else content }, "bad")
        assertTrue(words(activity), "Not imported: model.onnx of agnews-bert-1-onnx-int8 is " in words(activity))
        import(activity, "no zip".encodeToByteArray(), "text")
        assertTrue(words(activity), "Not imported: the file is not a zip" in words(activity))
        import(activity, zipOf(bundle), "good")
        waitFor { "Imported agnews-bert-1-onnx-int8." in words(activity) && "Remove" in words(activity) }
        screenshot(activity, "imported")
        click(activity, "Classify")
        type(activity, "Court lets tobacco settlement stand")
        waitFor { words(activity).split("ms median").size == 4 }
        click(activity, "Models")
        click(activity, "Remove")
        waitFor { "Remove" !in words(activity) }
        activity.onBackPressed()
        assertNotNull("back leads to the first page", visible(activity).firstOrNull { it.id == R.id.text })
        controller.pause().stop().destroy()
    }

    @Test
    fun aBenchmarkRunsAndItsRecordsAreShared() {
        val controller = launch()
        val activity = controller.get()
        click(activity, "Compare")
        waitFor { "agnews-committee-onnx-int8" in words(activity) }
        click(activity, "Start")
        waitFor { words(activity).contains(Regex("\\d+ of 18: agnews")) }
        click(activity, "Stop")
        waitFor { Run.current == null }
        assertTrue("Stopped" in words(activity))
        click(activity, "Start")
        waitFor { Run.current == null && "Share the records" in words(activity) }
        assertTrue(words(activity), words(activity).contains(Regex("accuracy\np50 ms\np90 ms\nRAM, MB\nfile, MB\nagnews-bert-6, onnx( †)?\n[0-9.]+ %\n[0-9.]+\n")))
        screenshot(activity, "compare")
        (activity.page as android.widget.ScrollView).fullScroll(View.FOCUS_DOWN)
        screenshot(activity, "compare-results")
        click(activity, "Share the records")
        val chooser = shadowOf(activity).nextStartedActivity
        val shared = checkNotNull(chooser.getParcelableExtra(Intent.EXTRA_INTENT, Intent::class.java))
        val lent = checkNotNull(shared.getParcelableArrayListExtra(Intent.EXTRA_STREAM, Uri::class.java))
        assertEquals(2, lent.size)
        assertEquals(lent.size, checkNotNull(shared.clipData).itemCount)
        val provider = Robolectric.setupContentProvider(RecordProvider::class.java)
        lent.forEachIndexed { index, uri ->
            val record = java.io.FileInputStream(provider.openFile(uri, "r").fileDescriptor).bufferedReader().readText()
            File(out, "app-$index.json").writeText(record)
        }
        for (wrong in listOf("other.json", "../latest/${lent[0].lastPathSegment}", "")) {
            val uri = Uri.Builder().scheme("content").authority("org.tlmedge.demo.records").appendPath(wrong).build()
            assertThrows(java.io.FileNotFoundException::class.java) { provider.openFile(uri, "r") }
        }
        controller.pause().stop().destroy()
        RuntimeEnvironment.setFontScale(2f)
        val again = launch()
        click(again.get(), "Compare")
        waitFor { "Share the records" in words(again.get()) && "agnews-committee-onnx-int8" in words(again.get()) }
        (again.get().page as android.widget.ScrollView).scrollTo(0, visible(again.get()).first { it is TextView && it.text.startsWith("Battery") }.let { it.top })
        screenshot(again.get(), "compare-large")
        again.pause().stop().destroy()
    }

    @Test
    fun theInstrumentationWritesRecords() {
        launch().pause().stop().destroy()
        val plan = Plan(Library(application).models().filter { it.shipped }.mapNotNull { it.bundle }, "rapid", listOf(1), 0, "test")
        val records = Benchmark(application).run(plan) { _, _, _ -> }
        assertEquals(2, records.size)
        assertTrue(Benchmark.keep(application, records).all { it.length() > 10_000 })
    }

    @Test
    @Config(qualifiers = "+night")
    fun darkLooksRight() = pictured("classify-dark")

    @Test
    @Config(qualifiers = "w891dp-h411dp-land-xxhdpi")
    fun landscapeLooksRight() = pictured("classify-landscape") { activity ->
        val (deep, committee) = listOf("agnews-bert-6", "agnews-committee").map { name ->
            val place = IntArray(2)
            visible(activity).filterIsInstance<TextView>().first { it.text.toString() == name }.also { it.getLocationInWindow(place) }
            place
        }
        assertTrue("side by side", deep[1] == committee[1] && deep[0] < committee[0])
    }

    @Test
    @Config(fontScale = 2f)
    fun largeFontsLookRight() = pictured("classify-large")

    private fun pictured(name: String, check: (MainActivity) -> Unit = {}) {
        val controller = launch()
        answered(controller.get(), "Chip maker says its new sensor needs a tenth of the power")
        waitFor { words(controller.get()).split("ms median").size == 3 }
        screenshot(controller.get(), name)
        check(controller.get())
        for (button in visible(controller.get()).filterIsInstance<Button>()) {
            assertTrue("${button.text} is ${button.height} high", button.height >= 48 * button.resources.displayMetrics.density - 1)
        }
        controller.pause().stop().destroy()
    }
}
