// rushlight du: which part takes how many bytes.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/format.hpp"
#include "cli/name_tree.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct DuArguments {
  std::string file;
  std::int64_t depth = 2;
};

// Nodes in the order of printing: depth first, the largest first.
struct Line {
  const UsageNode* node;
  std::vector<bool> is_last;
};
std::vector<Line> make_lines(const UsageReport& report, std::size_t depth) {
  std::vector<Line> lines;
  std::vector<Line> stack{{report.nodes.data(), {}}};
  while (!stack.empty()) {
    const Line line = std::move(stack.back());
    stack.pop_back();
    lines.push_back(line);
    if (line.node->depth == depth) continue;
    std::vector<std::size_t> children = line.node->children;
    std::ranges::stable_sort(children, std::ranges::greater(),
                             [&](std::size_t i) { return report.nodes[i].size_bytes; });
    for (std::size_t i = children.size(); i-- > 0;) {
      std::vector<bool> is_last = line.is_last;
      // Below the root stands the container too.
      is_last.push_back(i + 1 == children.size() && (line.node->depth > 0 || report.container_bytes == 0));
      stack.push_back({&report.nodes[children[i]], std::move(is_last)});
    }
  }
  return lines;
}

void write_json(const Context& context, const UsageReport& report, const std::vector<Line>& lines) {
  JsonWriter json = begin_envelope("du", report.file, !has_errors(context, report.findings));
  json.field("kind", to_string(report.format.kind)).field("size_bytes", report.format.size_bytes);
  json.field("storage_bytes", report.storage_bytes).key("container_bytes");
  if (report.is_compressed) {
    json.null();
  } else {
    json.natural(report.container_bytes);
  }
  json.key("parts").begin_array();
  for (const Line& line : lines) {
    const UsageNode& node = *line.node;
    if (node.depth == 0) continue;
    json.begin_object().field("name", std::string_view(node.name));
    json.field("depth", static_cast<std::uint64_t>(node.depth)).field("size_bytes", node.size_bytes);
    json.field("shared_bytes", node.shared_bytes).field("tensors", node.tensors).end_object();
  }
  json.end_array();
  write_findings(json, report.findings);
  print_envelope(context, json);
}

void write_text(const Context& context, const UsageReport& report, const std::vector<Line>& lines) {
  const std::uint64_t whole = std::max<std::uint64_t>({report.format.size_bytes, report.storage_bytes, 1});
  std::string out;
  const auto line_of = [&](std::uint64_t size_bytes, std::string_view text) {
    const double percent = 100.0 * static_cast<double>(size_bytes) / static_cast<double>(whole);
    out += fmt::format("{:>10} {:>4.0f}%  {}\n", format_bytes(size_bytes), percent, text);
  };
  for (const Line& line : lines) {
    const UsageNode& node = *line.node;
    if (node.depth == 0) {
      line_of(report.format.size_bytes, context.terminal.paint(format_file(report.file), Role::heading));
      continue;
    }
    std::string text = tree_prefix(line.is_last) + escaped(node.part);
    if (node.shared_bytes > 0) {
      text += context.terminal.paint(fmt::format("   (+ {} counted elsewhere: tied)", format_bytes(node.shared_bytes)),
                                     Role::dim);
    }
    line_of(node.size_bytes, text);
  }
  if (report.container_bytes > 0) {
    line_of(report.container_bytes, "└ container (headers, padding, pickle)");
  }
  if (report.is_compressed) {
    out += fmt::format("{} of storages, compressed in the file\n", format_bytes(report.storage_bytes));
  }
  print(out);
}

int run(Context& context, const DuArguments& options) {
  Result<Checkpoint> checkpoint = Checkpoint::open(options.file, context.load_options());
  if (!checkpoint) {
    return fail(context, "du", options.file, with_path_suggestion(std::move(checkpoint).error(), options.file));
  }
  Result<Inspection> inspection = inspect(*checkpoint, context.limits);
  if (!inspection) return fail(context, "du", options.file, std::move(inspection).error());
  const UsageReport report = disk_usage(*inspection);
  const std::vector<Line> lines = make_lines(report, static_cast<std::size_t>(options.depth));
  if (context.json) {
    write_json(context, report, lines);
  } else if (!context.quiet) {
    write_text(context, report, lines);
  }
  return has_errors(context, report.findings) ? kFindings : kGood;
}

}  // namespace

Verb du_verb() {
  return {"du",
          {},
          "which part takes how many bytes; shared storages count once",
          {"rushlight du ckpt.pt", "rushlight du ckpt.pt --depth 4", "rushlight du ckpt.pt --json | jq '.parts[0]'"},
          [](OptionTable& table, Context& context) {
            auto options = std::make_shared<DuArguments>();
            table.add("FILE", &options->file, "a checkpoint").required();
            table.add("--depth", &options->depth, "levels of names below the file (2)").at_least(0);
            return [options, &context] { return run(context, *options); };
          }};
}

}  // namespace rushlight::cli
