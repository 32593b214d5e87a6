package org.tlmedge.demo

import android.app.Activity
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.Canvas
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import java.io.File
import org.junit.After
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** Drives the real activity under Robolectric, and takes its picture. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], qualifiers = "w411dp-h891dp-xxhdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
abstract class Screens {
    protected val out = File(checkNotNull(System.getProperty("records"))).apply { mkdirs() }
    private var shown: Activity? = null
    protected val application get() = RuntimeEnvironment.getApplication()

    protected fun launch(intent: Intent = Intent(Intent.ACTION_MAIN)): ActivityController<MainActivity> =
        Robolectric.buildActivity(MainActivity::class.java, intent).setup().also { shown = it.get() }.also { waitFor { "agnews-committee" in words(it.get()) || "Type above" in words(it.get()) } }

    /** Lets the app's threads and the main thread work until [holds] does. */
    protected fun waitFor(seconds: Int = 120, holds: () -> Boolean) {
        val end = System.nanoTime() + seconds * 1_000_000_000L
        while (true) {
            shadowOf(Looper.getMainLooper()).idleFor(java.time.Duration.ofMillis(200))
            if (holds()) return
            assertTrue("waited $seconds s in vain; the screen says:\n${shown?.let(::words)}", System.nanoTime() < end)
            Thread.sleep(20)
        }
    }

    protected fun views(view: View): List<View> =
        listOf(view) + if (view is ViewGroup) (0 until view.childCount).flatMap { views(view.getChildAt(it)) } else listOf()

    protected fun visible(activity: Activity): List<View> = views(activity.window.decorView).filter { view ->
        generateSequence(view) { it.parent as? View }.all { it.visibility == View.VISIBLE }
    }

    protected fun words(activity: Activity): String = visible(activity).filterIsInstance<TextView>().joinToString("\n") { it.text }.replace("\u00a0", " ")

    protected fun click(activity: Activity, label: String) {
        val view = visible(activity).filterIsInstance<TextView>().first { it.text.toString() == label }
        assertTrue("'$label' can be clicked", view.performClick())
        shadowOf(Looper.getMainLooper()).idle()
    }

    protected fun type(activity: MainActivity, text: String) = (activity.page as ClassifyPage).write(text)

    /** Types [text] in eight steps, as one does, and waits for the answers to each. */
    protected fun answered(activity: MainActivity, text: String, models: Int = 2) = (1..8).forEach { step ->
        type(activity, text.take(text.length * step / 8))
        waitFor { words(activity).split("ms median of the last $step ").size == models + 1 }
    }

    protected fun screenshot(activity: Activity, name: String) {
        shadowOf(Looper.getMainLooper()).idleFor(java.time.Duration.ofMillis(500))
        val view = activity.window.decorView
        val bitmap = Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888)
        view.draw(Canvas(bitmap))
        val small = Bitmap.createScaledBitmap(bitmap, view.width / 3, view.height / 3, true)
        File(out, "$name.png").outputStream().use { small.compress(Bitmap.CompressFormat.PNG, 100, it) }
    }

    @After
    fun nothingRuns() = assertNull(Run.current)
}
