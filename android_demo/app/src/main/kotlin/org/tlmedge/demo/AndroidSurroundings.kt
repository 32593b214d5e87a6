package org.tlmedge.demo

import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager
import org.tlmedge.core.Conditions
import org.tlmedge.core.Machine
import org.tlmedge.core.Surroundings

/** What Android tells of the phone, besides the kernel's files that an app may read. */
class AndroidSurroundings(private val context: Context) : Surroundings() {
    override fun machine(): Machine {
        val kernel = super.machine()
        val chip = if (Build.VERSION.SDK_INT >= 31) "${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL}" else Build.HARDWARE
        return Machine(
            cpu = "${Build.MANUFACTURER} ${Build.MODEL}, $chip",
            architecture = Build.SUPPORTED_ABIS.firstOrNull() ?: kernel.architecture,
            cores = kernel.cores,
            memoryMb = kernel.memoryMb,
            system = "Android ${Build.VERSION.RELEASE} (API ${Build.VERSION.SDK_INT})",
            kernel = kernel.kernel,
            features = kernel.features,
        )
    }

    override fun conditions(): Conditions {
        val kernel = super.conditions()
        return Conditions(
            kernel.clockMhz, kernel.clockLimitMhz, kernel.governor, kernel.temperatureC, kernel.loadAverage, kernel.availableMemoryMb,
            throttled = thermalStatus()?.takeIf { it != THERMAL[0] },
            onBattery = battery()?.let { it.getIntExtra(BatteryManager.EXTRA_PLUGGED, 0) == 0 },
        )
    }

    /** The system's word for how hot the phone is; null before Android 10. */
    fun thermalStatus(): String? {
        if (Build.VERSION.SDK_INT < 29) return null
        val power = context.getSystemService(Context.POWER_SERVICE) as PowerManager
        return THERMAL.getOrNull(power.currentThermalStatus)
    }

    /** Charge of the battery in percent. */
    fun charge(): Int? {
        val state = battery() ?: return null
        val level = state.getIntExtra(BatteryManager.EXTRA_LEVEL, -1)
        val scale = state.getIntExtra(BatteryManager.EXTRA_SCALE, 100)
        return if (level < 0 || scale <= 0) null else 100 * level / scale
    }

    private fun battery(): Intent? = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))

    private companion object {
        /** By the numbers of PowerManager.THERMAL_STATUS_… */
        val THERMAL = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
    }
}
