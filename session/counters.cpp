#include "session/counters.hpp"

namespace bough::session {

std::string_view figure_name(Figure figure) noexcept {
  switch (figure) {
    case Figure::kMalformed:
      return "malformed";
    case Figure::kUnserved:
      return "unserved";
    case Figure::kRefusedReplies:
      return "refused_replies";
    case Figure::kLateAnswers:
      return "late_answers";
    case Figure::kAnsweredFor:
      return "answered_for";
    case Figure::kAbandonedReplies:
      return "abandoned_replies";
    case Figure::kInterrupts:
      return "interrupts";
    case Figure::kInterruptsEarly:
      return "interrupts_early";
    case Figure::kForgets:
      return "forgets";
    case Figure::kHandlerExceptions:
      return "handler_exceptions";
    case Figure::kOutOfMemory:
      return "out_of_memory";
    case Figure::kQueued:
      return "queued";
    case Figure::kDeviceErrors:
      return "device_errors";
    case Figure::kNotificationsSent:
      return "notifications_sent";
    case Figure::kNotificationsAbsent:
      return "notifications_absent";
    case Figure::kNotificationsRefused:
      return "notifications_refused";
    case Figure::kNotificationsDropped:
      return "notifications_dropped";
    case Figure::kSpins:
      return "spins";
    case Figure::kSpinHits:
      return "spin_hits";
    case Figure::kWaits:
      return "waits";
    case Figure::kCount:
      break;
  }
  return "unknown";
}

}  // namespace bough::session
