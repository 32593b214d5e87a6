package androidx.test.runner.intent;

/** Stand-in: nobody listens. */
public interface IntentMonitor {}
