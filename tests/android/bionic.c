/* What Android's C library has and glibc lacks, so that the native libraries of an APK load on a desktop: for tests alone.
 *
 * Everything else that those libraries ask of libc, libm and libdl is handed on to glibc by jumps that the test generates (see
 * tests/android/bionic.py). Both C libraries follow the processor's ABI, and what crosses here has the same size in both.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Before Android 6 the standard streams were the elements of this array, which no function of the desktop may be given. */
char bionic_streams[3][152] __asm__("__sF");
FILE *bionic_out __asm__("stdout");
FILE *bionic_error __asm__("stderr");

static void missing(void) {
  static const char words[] = "the desktop lacks a function of Android's C library that was called\n";
  (void)!write(2, words, sizeof words - 1);
  abort();
}

/* The desktop's function of that name; one that ends the process where there is none. */
void *bionic_target(const char *name) {
  static const char *const libraries[] = {"libc.so.6", "libm.so.6", "libgcc_s.so.1"};
  for (int number = 0; number < 3; number++) {
    void *library = dlopen(libraries[number], RTLD_LAZY);
    void *target = library == NULL ? NULL : dlsym(library, name);
    if (target != NULL) return target;
  }
  return (void *)missing;
}

__attribute__((constructor)) static void find_streams(void) {
  bionic_out = *(FILE **)bionic_target("stdout");
  bionic_error = *(FILE **)bionic_target("stderr");
}

static FILE *real(FILE *stream) {
  char *place = (char *)stream, *first = bionic_streams[0];
  return place < first || place >= first + sizeof bionic_streams ? stream : place < first + 304 ? bionic_out : bionic_error;
}

/* What is defined here in the place of a function of the desktop calls that one. */
#define DESKTOP(type, name, ...) ((type(*)(__VA_ARGS__))bionic_target(name))

int bionic_fflush(FILE *stream) __asm__("fflush");
int bionic_fflush(FILE *stream) { return DESKTOP(int, "fflush", FILE *)(real(stream)); }

size_t bionic_fwrite(const void *from, size_t size, size_t count, FILE *stream) __asm__("fwrite");
size_t bionic_fwrite(const void *from, size_t size, size_t count, FILE *stream) {
  return DESKTOP(size_t, "fwrite", const void *, size_t, size_t, FILE *)(from, size, count, real(stream));
}

int bionic_vfprintf(FILE *stream, const char *format, va_list arguments) __asm__("vfprintf");
int bionic_vfprintf(FILE *stream, const char *format, va_list arguments) {
  return DESKTOP(int, "vfprintf", FILE *, const char *, va_list)(real(stream), format, arguments);
}

int bionic_fprintf(FILE *stream, const char *format, ...) __asm__("fprintf");
int bionic_fprintf(FILE *stream, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int written = bionic_vfprintf(stream, format, arguments);
  va_end(arguments);
  return written;
}

int bionic_fputc(int character, FILE *stream) __asm__("fputc");
int bionic_fputc(int character, FILE *stream) { return DESKTOP(int, "fputc", int, FILE *)(character, real(stream)); }

int bionic_fputs(const char *text, FILE *stream) __asm__("fputs");
int bionic_fputs(const char *text, FILE *stream) { return DESKTOP(int, "fputs", const char *, FILE *)(text, real(stream)); }

/* The two C libraries number what can be asked for differently. */
long bionic_sysconf(int what) __asm__("sysconf");
long bionic_sysconf(int what) {
  static const int numbers[][2] = {
      {39, _SC_PAGESIZE},         {40, _SC_PAGESIZE},   {96, _SC_NPROCESSORS_CONF},
      {97, _SC_NPROCESSORS_ONLN}, {98, _SC_PHYS_PAGES}, {99, _SC_AVPHYS_PAGES},
  };
  for (int number = 0; number < 6; number++) {
    if (numbers[number][0] == what) return DESKTOP(long, "sysconf", int)(numbers[number][1]);
  }
  return -1;
}

int *__errno(void) { return &errno; }

void __assert2(const char *file, int line, const char *function, const char *what) {
  fprintf(bionic_error, "%s:%d: %s: %s\n", file, line, function, what);
  abort();
}

int __android_log_vprint(int priority, const char *tag, const char *format, va_list arguments) {
  (void)priority;
  fprintf(bionic_error, "%s: ", tag);
  int written = vfprintf(bionic_error, format, arguments);
  fputc('\n', bionic_error);
  return written;
}

int __android_log_print(int priority, const char *tag, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int written = __android_log_vprint(priority, tag, format, arguments);
  va_end(arguments);
  return written;
}

int __android_log_write(int priority, const char *tag, const char *text) {
  return __android_log_print(priority, tag, "%s", text);
}

void __android_log_assert(const char *condition, const char *tag, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  __android_log_vprint(7, tag, format, arguments);
  va_end(arguments);
  (void)condition;
  abort();
}

void android_set_abort_message(const char *text) { fprintf(bionic_error, "%s\n", text); }

/* No property is set: whoever asks goes by its defaults. */
int __system_property_get(const char *name, char *value) {
  (void)name;
  value[0] = '\0';
  return 0;
}

char *__gnu_strerror_r(int number, char *buffer, size_t size) { return strerror_r(number, buffer, size); }
size_t __strlen_chk(const char *text, size_t size) { (void)size; return strlen(text); }
char *__strchr_chk(const char *text, int wanted, size_t size) { (void)size; return strchr(text, wanted); }
char *__strrchr_chk(const char *text, int wanted, size_t size) { (void)size; return strrchr(text, wanted); }
ssize_t __write_chk(int file, const void *content, size_t count, size_t size) { (void)size; return write(file, content, count); }
