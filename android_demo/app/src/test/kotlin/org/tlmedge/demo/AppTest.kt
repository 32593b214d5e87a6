package org.tlmedge.demo

import android.app.Activity
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.Canvas
import android.net.Uri
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.TextView
import java.io.ByteArrayOutputStream
import java.io.File
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** The real activity under Robolectric, with the real ONNX Runtime of the desktop. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], qualifiers = "w411dp-h891dp-xxhdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class AppTest {
    private val models = File(checkNotNull(System.getProperty("models")))
    private val out = File(checkNotNull(System.getProperty("records"))).apply { mkdirs() }
    private var shown: Activity? = null
    private val application get() = RuntimeEnvironment.getApplication()

    private fun launch(intent: Intent = Intent(Intent.ACTION_MAIN)): ActivityController<MainActivity> =
        Robolectric.buildActivity(MainActivity::class.java, intent).setup().also { shown = it.get() }.also { waitFor { "agnews-committee" in words(it.get()) || "Type above" in words(it.get()) } }

    /** Lets the app's threads and the main thread work until [holds] does. */
    private fun waitFor(seconds: Int = 120, holds: () -> Boolean) {
        val end = System.nanoTime() + seconds * 1_000_000_000L
        while (true) {
            shadowOf(Looper.getMainLooper()).idleFor(java.time.Duration.ofMillis(200))
            if (holds()) return
            assertTrue("waited $seconds s in vain; the screen says:\n${shown?.let(::words)}", System.nanoTime() < end)
            Thread.sleep(20)
        }
    }

    private fun views(view: View): List<View> =
        listOf(view) + if (view is ViewGroup) (0 until view.childCount).flatMap { views(view.getChildAt(it)) } else listOf()

    private fun visible(activity: Activity): List<View> = views(activity.window.decorView).filter { view ->
        generateSequence(view) { it.parent as? View }.all { it.visibility == View.VISIBLE }
    }

    private fun words(activity: Activity): String = visible(activity).filterIsInstance<TextView>().joinToString("\n") { it.text }.replace("\u00a0", " ")

    private fun click(activity: Activity, label: String) {
        val view = visible(activity).filterIsInstance<TextView>().first { it.text.toString() == label }
        assertTrue("'$label' can be clicked", view.performClick())
        shadowOf(Looper.getMainLooper()).idle()
    }

    private fun type(activity: MainActivity, text: String) = activity.findViewById<TextView>(R.id.text).setText(text)

    /** Types [text] in eight steps, as one does, and waits for the answers to each. */
    private fun answered(activity: MainActivity, text: String) = (1..8).forEach { step ->
        type(activity, text.take(text.length * step / 8))
        waitFor { words(activity).split("ms median of the last $step ").size == 3 }
    }

    private fun screenshot(activity: Activity, name: String) {
        shadowOf(Looper.getMainLooper()).idleFor(java.time.Duration.ofMillis(500))
        val view = activity.window.decorView
        val bitmap = Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888)
        view.draw(Canvas(bitmap))
        val small = Bitmap.createScaledBitmap(bitmap, view.width / 3, view.height / 3, true)
        File(out, "$name.png").outputStream().use { small.compress(Bitmap.CompressFormat.PNG, 100, it) }
    }

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

    @After
    fun nothingRuns() = assertNull(Run.current)

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
    fun landscapeLooksRight() = pictured("classify-landscape")

    @Test
    @Config(fontScale = 2f)
    fun largeFontsLookRight() = pictured("classify-large")

    private fun pictured(name: String) {
        val controller = launch()
        answered(controller.get(), "Chip maker says its new sensor needs a tenth of the power")
        waitFor { words(controller.get()).split("ms median").size == 3 }
        screenshot(controller.get(), name)
        for (button in visible(controller.get()).filterIsInstance<Button>()) {
            assertTrue("${button.text} is ${button.height} high", button.height >= 48 * button.resources.displayMetrics.density - 1)
        }
        controller.pause().stop().destroy()
    }
}
