// The one header of glog that OneFlow's wheel leaves out: what its others need of it, written for this project. It is
// included inside `namespace google`.
#pragma once

typedef int LogSeverity;
const int GLOG_INFO = 0, GLOG_WARNING = 1, GLOG_ERROR = 2, GLOG_FATAL = 3, NUM_SEVERITIES = 4;
const int INFO = GLOG_INFO, WARNING = GLOG_WARNING, ERROR = GLOG_ERROR, FATAL = GLOG_FATAL;
extern const char* const LogSeverityNames[NUM_SEVERITIES];

#define DFATAL GLOG_ERROR
