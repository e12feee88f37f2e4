// Tells the thread sanitizer what it cannot see: that the kernel orders what this thread reads in a scope before later
// writes of others (write_guard.h). Nothing without it.
#pragma once

#if defined(__SANITIZE_THREAD__)
#define MILEPOST_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MILEPOST_THREAD_SANITIZER 1
#endif
#endif

#ifdef MILEPOST_THREAD_SANITIZER
extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);
#endif

namespace milepost {

class KernelOrderedReads {
 public:
#ifdef MILEPOST_THREAD_SANITIZER
  KernelOrderedReads() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ~KernelOrderedReads() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
#else
  KernelOrderedReads() {}
  ~KernelOrderedReads() {}
#endif
  KernelOrderedReads(const KernelOrderedReads&) = delete;
  KernelOrderedReads& operator=(const KernelOrderedReads&) = delete;
};

}  // namespace milepost
