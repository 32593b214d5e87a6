package androidx.test.runner.intent;

/** Stand-in: forgets what it is given. */
public final class IntentMonitorRegistry {
    private IntentMonitorRegistry() {}

    public static void registerInstance(IntentMonitor monitor) {}
}
