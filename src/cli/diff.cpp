// rushlight diff: what differs between two checkpoints, whatever their containers.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/format.hpp"
#include "cli/text_table.hpp"
#include "cli/value_text.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct DiffArguments {
  std::string a;
  std::string b;
  std::string match;
  std::optional<double> rtol;
  std::optional<double> atol;
  bool tensors_only = false;
  bool all = false;
};

// What a screen takes of one kind, without --all.
constexpr std::size_t kMostLines = 50;

void write_side(JsonWriter& json, std::string_view key, const std::optional<Value>& value) {
  json.key(key);
  if (value) {
    json.begin_object().field("type", to_string(value->kind())).key("value");
    write_leaf(json, *value);
    json.end_object();
  } else {
    json.null();
  }
}

void write_number(JsonWriter& json, std::string_view key, const std::optional<double>& number) {
  json.key(key);
  if (number) {
    json.real(*number);
  } else {
    json.null();
  }
}

void write_names(JsonWriter& json, std::string_view key, const std::vector<std::string>& names) {
  json.key(key).begin_array();
  for (const std::string& name : names) json.string(name);
  json.end_array();
}

void write_change(JsonWriter& json, const TensorChange& change) {
  json.begin_object().field("name", std::string_view(change.name)).field("kind", to_string(change.kind));
  switch (change.kind) {
    case TensorChange::Kind::values: {
      const ElementDifferences& d = change.differences;
      json.field("dtype", to_string(change.a.dtype())).key("shape").integers(change.a.shape());
      json.field("different", d.different).field("elements", d.elements).field("nan", d.nan);
      write_number(json, "max_abs", d.max_abs);
      write_number(json, "max_rel", d.max_rel);
      json.key("max_ulp");
      if (d.max_ulp) {
        json.natural(*d.max_ulp);
      } else {
        json.null();
      }
      json.key("max_abs_index");
      if (d.max_abs) {
        json.integers(d.max_abs_index);
      } else {
        json.null();
      }
      write_number(json, "rel_l2", d.rel_l2);
      write_number(json, "cosine", d.cosine);
      break;
    }
    case TensorChange::Kind::shape:
      json.key("a").integers(change.a.shape()).key("b").integers(change.b.shape());
      break;
    case TensorChange::Kind::dtype:
      json.field("a", to_string(change.a.dtype())).field("b", to_string(change.b.dtype()));
      break;
    case TensorChange::Kind::strides:
      json.key("a").integers(change.a.strides()).key("b").integers(change.b.strides());
      break;
    case TensorChange::Kind::tying:
      write_names(json, "a", change.tied_a);
      write_names(json, "b", change.tied_b);
      break;
  }
  json.end_object();
}

void write_json(const Context& context, const DiffReport& report, std::span<const Finding> findings, bool ok) {
  JsonWriter json = begin_envelope("diff", report.file_a, ok);
  json.field("other", std::string_view(report.file_b));
  for (const auto& [key, entries] : {std::pair("added", &report.added), std::pair("removed", &report.removed)}) {
    json.key(key).begin_array();
    for (const TensorEntry& entry : *entries) json.string(entry.name);
    json.end_array();
  }
  json.key("renamed").begin_array();
  for (const auto& [from, to] : report.renamed) {
    json.begin_object().field("from", std::string_view(from)).field("to", std::string_view(to)).end_object();
  }
  json.end_array().key("changed").begin_array();
  for (const TensorChange& change : report.changed) write_change(json, change);
  json.end_array().field("equal", report.equal).field("close", report.close).key("values").begin_array();
  for (const ValueChange& value : report.values) {
    json.begin_object().field("name", std::string_view(value.name));
    write_side(json, "a", value.a);
    write_side(json, "b", value.b);
    json.end_object();
  }
  json.end_array().key("compared").begin_object();
  json.field("values", report.compared_values).field("strides", report.compared_strides);
  json.field("tying", report.compared_tying).end_object();
  write_findings(json, findings);
  print_envelope(context, json);
}

std::string tied_text(const std::vector<std::string>& names) {
  if (names.empty()) return "nothing";
  std::string text;
  for (const std::string& name : names) text += fmt::format("{}'{}'", text.empty() ? "" : ", ", escaped(name));
  return text;
}

// What follows name, dtype and shape.
std::string change_text(const TensorChange& change) {
  switch (change.kind) {
    case TensorChange::Kind::values: {
      const ElementDifferences& d = change.differences;
      std::string text = fmt::format("{}/{} differ", format_count(d.different), format_count(d.elements));
      if (d.nan > 0) text += fmt::format(" ({} NaN)", format_count(d.nan));
      if (d.max_abs) {
        text += fmt::format("  max|d| {:.2g}", *d.max_abs);
        if (!d.max_abs_index.empty()) text += fmt::format(" at {}", format_shape(d.max_abs_index));
      }
      if (d.max_ulp)
        text += fmt::format(
            "  {} ULP",
            format_count(std::int64_t(std::min<std::uint64_t>(*d.max_ulp, std::numeric_limits<std::int64_t>::max()))));
      if (d.rel_l2) text += fmt::format("  rel-L2 {:.2g}", *d.rel_l2);
      if (d.cosine) text += fmt::format("  cos {:.4f}", *d.cosine);
      return text;
    }
    case TensorChange::Kind::shape:
      return fmt::format("shape {} -> {}", format_shape(change.a.shape()), format_shape(change.b.shape()));
    case TensorChange::Kind::dtype:
      return fmt::format("dtype {} -> {}", info(change.a.dtype()).brief, info(change.b.dtype()).brief);
    case TensorChange::Kind::strides:
      return fmt::format("strides {} -> {}", format_shape(change.a.strides()), format_shape(change.b.strides()));
    case TensorChange::Kind::tying:
      return fmt::format("tied to {} -> {}", tied_text(change.tied_a), tied_text(change.tied_b));
  }
  return {};
}

std::string value_text(const std::optional<Value>& value) {
  return value ? format_leaf(*value) : std::string("nothing");
}

// The rows of one kind, as many as a screen takes; the last line says how many were left out.
class Rows {
 public:
  Rows(bool all, std::size_t count) : most_(all ? count : std::min(count, kMostLines)), count_(count) {}
  [[nodiscard]] std::size_t shown() const noexcept { return most_; }
  [[nodiscard]] std::string rest(std::string_view what) const {
    if (most_ == count_) return {};
    return fmt::format("  ... and {} more {} (--all)\n", format_count(std::int64_t(count_ - most_)), what);
  }

 private:
  std::size_t most_;
  std::size_t count_;
};

void write_text(const Context& context, const DiffArguments& options, const DiffReport& report,
                std::span<const Finding> findings) {
  using Align = TextTable::Align;
  std::string out = fmt::format("{} -> {}\n", context.terminal.paint(format_file(report.file_a), Role::heading),
                                context.terminal.paint(format_file(report.file_b), Role::heading));
  TextTable tensors({Align::left, Align::left, Align::left, Align::left});
  const Rows changed(options.all, report.changed.size());
  for (std::size_t i = 0; i < changed.shown(); ++i) {
    const TensorChange& change = report.changed[i];
    tensors.row({"~ " + escaped(change.name), std::string(info(change.a.dtype()).brief), format_shape(change.a.shape()),
                 change_text(change)});
  }
  const auto alone = [&](std::string_view mark, const std::vector<TensorEntry>& entries) {
    const Rows rows(options.all, entries.size());
    for (std::size_t i = 0; i < rows.shown(); ++i) {
      const Tensor& tensor = entries[i].tensor;
      tensors.row({fmt::format("{} {}", mark, escaped(entries[i].name)), std::string(info(tensor.dtype()).brief),
                   format_shape(tensor.shape()), ""});
    }
    return rows;
  };
  const Rows removed = alone("-", report.removed);
  const Rows added = alone("+", report.added);
  out += tensors.render(context.terminal);
  out += changed.rest("changes") + removed.rest("removed tensors") + added.rest("added tensors");
  const Rows renamed(options.all, report.renamed.size());
  for (std::size_t i = 0; i < renamed.shown(); ++i) {
    out += fmt::format("  > {} -> {}\n", escaped(report.renamed[i].from), escaped(report.renamed[i].to));
  }
  out += renamed.rest("renamed tensors");
  const Rows values(options.all, report.values.size());
  for (std::size_t i = 0; i < values.shown(); ++i) {
    const ValueChange& value = report.values[i];
    const char mark = !value.a ? '+' : !value.b ? '-' : '~';
    out += fmt::format("  {} {}  ", mark, value.name.empty() ? "(root)" : escaped(value.name));
    out += value.a && value.b ? fmt::format("{} -> {}\n", value_text(value.a), value_text(value.b))
                              : value_text(value.a ? value.a : value.b) + "\n";
  }
  out += values.rest("values");
  for (const Finding& finding : findings) {
    if (finding.severity == Severity::error) out += format_finding(context.terminal, finding);
  }
  std::string equal = fmt::format("= {} equal bit for bit", plural(report.equal, "tensor"));
  if (report.close > 0) equal += fmt::format(", {} within the tolerance", format_count(report.close));
  if (!report.compared_values && !options.tensors_only && options.match.empty()) equal += "; values not compared";
  if (!report.compared_tying) equal += "; strides and tying not compared";
  out += equal + "\n";
  if (report.same) {
    out += context.terminal.paint("same", Role::good) + "\n";
  } else {
    std::vector<std::string_view> names;
    for (const TensorChange& change : report.changed) {
      if (names.empty() || names.back() != change.name) names.push_back(change.name);
    }
    std::string verdict;
    const auto add = [&](std::size_t count, std::string_view noun, std::string_view word) {
      if (count == 0) return;
      verdict += fmt::format("{}{} {}", verdict.empty() ? "" : ", ", plural(std::int64_t(count), noun), word);
    };
    add(names.size(), "tensor", "changed");
    add(report.removed.size(), "tensor", "removed");
    add(report.added.size(), "tensor", "added");
    add(report.renamed.size(), "tensor", "renamed");
    add(report.values.size(), "value", "different");
    add(report.findings.size(), "tensor", "unreadable");
    out += fmt::format("{} {}\n", context.terminal.paint("differs:", Role::bad), verdict);
  }
  print(out);
}

int run(Context& context, const DiffArguments& options) {
  const auto open = [&](const std::string& file) { return Checkpoint::open(file, context.load_options()); };
  Result<Checkpoint> a = open(options.a);
  if (!a) return fail(context, "diff", options.a, with_path_suggestion(std::move(a).error(), options.a));
  Result<Checkpoint> b = open(options.b);
  if (!b) return fail(context, "diff", options.b, with_path_suggestion(std::move(b).error(), options.b));
  ProgressBar progress;
  DiffOptions how;
  how.match = options.match;
  how.values = !options.tensors_only;
  how.rtol = options.rtol.value_or(0);
  how.atol = options.atol.value_or(0);
  how.limits = context.limits;
  how.executor = &context.executor();
  how.progress = &progress;
  Result<DiffReport> report = diff(*a, *b, how);
  if (!report) return fail(context, "diff", options.a, std::move(report).error());
  // Those of opening the two, then what was found on the way.
  std::vector<Finding> findings(a->findings().begin(), a->findings().end());
  findings.insert(findings.end(), b->findings().begin(), b->findings().end());
  findings.insert(findings.end(), report->findings.begin(), report->findings.end());
  const bool ok = report->same && !has_errors(context, findings);
  if (context.json) {
    write_json(context, *report, findings, ok);
  } else if (!context.quiet) {
    write_text(context, options, *report, findings);
    for (const Finding& finding : findings) {
      if (finding.severity == Severity::warning) print_error(format_finding(context.errors, finding));
    }
  }
  return ok ? kGood : kFindings;
}

}  // namespace

Verb diff_verb() {
  return {"diff",
          {},
          "what differs between two checkpoints of any format",
          {"rushlight diff epoch1.pt epoch2.pt", "rushlight diff model.pt model.safetensors --tensors-only",
           "rushlight diff old.pt new.pt --match 'encoder.*' --rtol 1e-5 --atol 1e-8"},
          [](OptionTable& table, Context& context) {
            auto options = std::make_shared<DiffArguments>();
            table.add("A", &options->a, "a checkpoint: the reference").required();
            table.add("B", &options->b, "another").required();
            table.add("--match", &options->match, "only tensors whose name fits this name or glob, and no values");
            table.add("--rtol", &options->rtol, "floats are as good as equal within atol + rtol * |a|; 0 by default");
            table.add("--atol", &options->atol, "the other half of the tolerance; 0 by default");
            table.add("--tensors-only", &options->tensors_only, "compare no values");
            table.add("--all", &options->all, "list everything, not only the first 50 of each kind");
            return [options, &context] { return run(context, *options); };
          }};
}

}  // namespace rushlight::cli
