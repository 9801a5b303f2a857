// What OneFlow's headers call of glog and its library does not export: a check that fails prints why and aborts.
#include <glog/logging.h>

#include <cstdlib>
#include <iostream>

namespace google {

LogMessage::LogMessage(const char* file, int line) : allocated_(nullptr), data_(nullptr) {
  std::cerr << file << ":" << line << ": ";
}
LogMessage::~LogMessage() { std::cerr << std::endl; }
std::ostream& LogMessage::stream() { return std::cerr; }
LogMessageFatal::LogMessageFatal(const char* file, int line) : LogMessage(file, line) {}
LogMessageFatal::LogMessageFatal(const char* file, int line, const CheckOpString& result) : LogMessage(file, line) {
  std::cerr << "Check failed: " << *result.str_ << " ";
}
LogMessageFatal::~LogMessageFatal() {
  std::cerr << std::endl;
  std::abort();
}

namespace base {

CheckOpMessageBuilder::CheckOpMessageBuilder(const char* expression) : stream_(new std::ostringstream) {
  *stream_ << expression << " (";
}
CheckOpMessageBuilder::~CheckOpMessageBuilder() { delete stream_; }
std::ostream* CheckOpMessageBuilder::ForVar2() {
  *stream_ << " vs. ";
  return stream_;
}
std::string* CheckOpMessageBuilder::NewString() {
  *stream_ << ")";
  return new std::string(stream_->str());
}

}  // namespace base
}  // namespace google
