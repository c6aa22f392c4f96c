#include "rushlight/sink.hpp"

namespace rushlight {

Sink::~Sink() = default;

}  // namespace rushlight
