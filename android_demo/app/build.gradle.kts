import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

val models = rootDir.resolve("../models")

/** The version of the whole project, which the app shares. */
val version = Regex("__version__ = \"(\\d+)\\.(\\d+)\\.(\\d+)").find(rootDir.resolve("../tlm_edge/__init__.py").readText())!!.destructured.toList()

/** The shipped bundles and evaluation texts, laid out as the app expects them among its assets. */
val demoAssets by tasks.registering(Sync::class) {
    into(layout.buildDirectory.dir("demo-assets"))
    from(models.resolve("evaluation/agnews.jsonl")) { into("evaluation") }
    for (name in listOf("agnews-bert-6", "agnews-committee")) {
        from(models.resolve("$name/onnx-int8")) {
            into("models/$name-onnx-int8")
        }
    }
}

android {
    namespace = "org.tlmedge.demo"
    compileSdk = libs.versions.compileSdk.get().toInt()
    defaultConfig {
        applicationId = "org.tlmedge.demo"
        minSdk = libs.versions.minSdk.get().toInt()
        targetSdk = libs.versions.targetSdk.get().toInt()
        versionCode = version.map(String::toInt).fold(0) { code, part -> 100 * code + part }
        versionName = version.joinToString(".")
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
    packaging { jniLibs { useLegacyPackaging = true } }
    sourceSets["main"].assets.srcDir(layout.buildDirectory.dir("demo-assets"))
    // The tests under src/test run in the script build alone (`make test-android`), which knows their stand-ins.
    sourceSets["test"].kotlin.setSrcDirs(emptyList<String>())
}

kotlin {
    compilerOptions { jvmTarget = JvmTarget.JVM_1_8 }
}

tasks.named("preBuild") { dependsOn(demoAssets) }

dependencies {
    implementation(project(":core"))
    implementation(project(":engines:onnx"))
    implementation(project(":engines:tflite"))
    implementation(project(":engines:executorch"))
}
