package androidx.test.runner.lifecycle;

/** Stand-in: nobody listens. */
public interface ApplicationLifecycleMonitor {}
