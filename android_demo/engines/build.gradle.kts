import com.android.build.gradle.LibraryExtension
import org.jetbrains.kotlin.gradle.dsl.JvmTarget
import org.jetbrains.kotlin.gradle.dsl.KotlinAndroidProjectExtension

/** A module for each engine, alike but for the runtime. */
val runtimes = mapOf("onnx" to libs.onnxruntime.android, "tflite" to libs.tflite, "executorch" to libs.executorch)
val newestSdk = libs.versions.compileSdk.get().toInt()
val oldestSdk = libs.versions.minSdk.get().toInt()

subprojects {
    val engine = name
    apply(plugin = "com.android.library")
    apply(plugin = "org.jetbrains.kotlin.android")

    extensions.configure<LibraryExtension> {
        namespace = "org.tlmedge.engines.$engine"
        compileSdk = newestSdk
        defaultConfig { minSdk = oldestSdk }
        compileOptions {
            sourceCompatibility = JavaVersion.VERSION_1_8
            targetCompatibility = JavaVersion.VERSION_1_8
        }
    }

    extensions.configure<KotlinAndroidProjectExtension> {
        compilerOptions { jvmTarget.set(JvmTarget.JVM_1_8) }
    }

    dependencies {
        add("implementation", project(":core"))
        add("implementation", runtimes.getValue(engine))
    }
}
