// https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
#include "cli/sarif.hpp"

#include <map>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "cli/json_writer.hpp"
#include "rushlight/text.hpp"
#include "rushlight/version.hpp"

namespace rushlight::cli {
namespace {

constexpr std::string_view kSchema = "https://json.schemastore.org/sarif-2.1.0.json";

// A path as a URI reference (RFC 3986): relative ones stay relative to where the scan ran.
std::string uri_of(std::string_view path) {
  constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/!$&'()*+,;=@";
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string uri = path.starts_with('/') ? "file://" : "";
  for (const char c : path) {
    if (kPlain.find(c) != std::string_view::npos) {
      uri += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    uri += '%';
    uri += kDigits[byte >> 4];
    uri += kDigits[byte & 15];
  }
  return uri;
}

// What a rule is about, as far as that can be said without a file.
std::string_view description_of(Category category) {
  switch (category) {
    case Category::kind:
      return "The file is no checkpoint.";
    case Category::trunc:
      return "The file ends early.";
    case Category::zip:
      return "The structure of the archive is broken.";
    case Category::ambig:
      return "Two readers could read the file differently.";
    case Category::unsup:
      return "The file is valid and not read here.";
    case Category::limit:
      return "The file costs more than a limit allows.";
    case Category::pkl:
      return "The pickle is malformed.";
    case Category::global:
      return "The pickle names a class or function beyond the allow-list.";
    case Category::type:
      return "The pickle gives an operation the wrong operand.";
    case Category::tensor:
      return "A tensor does not fit its storage.";
    case Category::store:
      return "A storage and its record do not fit.";
    case Category::crc:
      return "The bytes are not those that were written.";
    default:
      return "The file could not be checked.";
  }
}

std::string_view level_of(Severity severity) {
  return severity == Severity::error ? "error" : severity == Severity::warning ? "warning" : "note";
}

void write_message(JsonWriter& json, std::string_view text) {
  json.key("message").begin_object().field("text", text).end_object();
}

void write_result(JsonWriter& json, const Finding& finding, std::string_view file, std::size_t artifact,
                  std::size_t rule) {
  json.begin_object().field("ruleId", std::string_view(finding.code));
  json.field("ruleIndex", static_cast<std::uint64_t>(rule)).field("level", level_of(finding.severity));
  write_message(json, finding.hint.empty() ? finding.message : finding.message + "; " + finding.hint);
  json.key("locations").begin_array().begin_object().key("physicalLocation").begin_object();
  json.key("artifactLocation").begin_object().field("uri", std::string_view(uri_of(file)));
  json.field("index", static_cast<std::uint64_t>(artifact)).end_object();
  if (finding.offset) {
    json.key("region").begin_object().key("byteOffset").natural(*finding.offset).field("byteLength", 1).end_object();
  }
  json.end_object();
  if (finding.record) {
    json.key("logicalLocations").begin_array().begin_object();
    json.field("fullyQualifiedName", std::string_view(*finding.record)).field("kind", "member");
    json.end_object().end_array();
  }
  json.end_object().end_array();
  if (finding.record_offset) {
    json.key("properties").begin_object().key("recordOffset").natural(*finding.record_offset).end_object();
  }
  json.end_object();
}

// Up to the results.
JsonWriter begin_log(const std::map<std::string, Category>& rules) {
  JsonWriter json;
  json.begin_object().field("$schema", kSchema).field("version", "2.1.0");
  json.key("runs").begin_array().begin_object().key("tool").begin_object().key("driver").begin_object();
  json.field("name", "rushlight").field("semanticVersion", version_string()).key("rules").begin_array();
  for (const auto& [code, category] : rules) {
    json.begin_object().field("id", std::string_view(code)).key("shortDescription").begin_object();
    json.field("text", description_of(category)).end_object().end_object();
  }
  json.end_array().end_object().end_object();
  return json;
}

std::string end_log(JsonWriter json) {
  json.end_object().end_array().end_object();
  return json.text() + "\n";
}

}  // namespace

std::string to_sarif(const ScanReport& report) {
  std::map<std::string, Category> rules;
  for (const ScannedFile& file : report.files) {
    for (const Finding& finding : file.findings) rules.emplace(finding.code, finding.category);
  }
  std::map<std::string, std::size_t> rule_index;
  for (const auto& rule : rules) rule_index.emplace(rule.first, rule_index.size());
  JsonWriter json = begin_log(rules);
  json.key("invocations").begin_array().begin_object().field("executionSuccessful", true).end_object().end_array();
  json.key("artifacts").begin_array();
  for (const ScannedFile& file : report.files) {
    json.begin_object().key("location").begin_object().field("uri", std::string_view(uri_of(file.file))).end_object();
    json.end_object();
  }
  json.end_array().key("results").begin_array();
  for (std::size_t i = 0; i < report.files.size(); ++i) {
    for (const Finding& finding : report.files[i].findings) {
      write_result(json, finding, report.files[i].file, i, rule_index[finding.code]);
    }
  }
  json.end_array();
  return end_log(std::move(json));
}

std::string to_sarif(const Error& error) {
  JsonWriter json = begin_log({});
  json.key("invocations").begin_array().begin_object().field("executionSuccessful", false);
  json.key("toolExecutionNotifications").begin_array().begin_object().field("level", "error");
  write_message(json, to_string(error));
  json.end_object().end_array().end_object().end_array().key("results").begin_array().end_array();
  return end_log(std::move(json));
}

}  // namespace rushlight::cli
