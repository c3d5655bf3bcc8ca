// A worker of kind `parse`: finds the grammar of an English sentence with link-grammar.
//
// It is the kind of program Katamari exists for: good at its work, single-threaded, a few seconds
// to load its dictionary, and at the mercy of its input. Some sentences of 40 words take it over
// ten seconds, and some of 240 words take gigabytes. link-grammar could watch its own time and
// memory; here nobody does, and `timeout` and `memory_max` in katamari.toml must hold.
#include <cctype>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include <link-grammar/link-includes.h>

#include <katamari/worker.hpp>

using katamari::json;
using Object = std::map<std::string, json>;

namespace {

// A parse of a question has a few linkages; nobody looks at more than the best of them.
constexpr int linkages_max = 100;
// The diagram is drawn for a page; link-grammar breaks it into rows of this width.
constexpr std::size_t diagram_columns = 120;

template <class T, class R>
std::unique_ptr<T, R (*)(T*)> owned(T* pointer, R (*release)(T*), const char* what) {
  if (pointer == nullptr) throw std::runtime_error(std::string("link-grammar: no ") + what);
  return {pointer, release};
}

// link-grammar draws and prints into strings of its own, one release function for each kind.
std::string text(char* drawn, void (*release)(char*)) {
  return owned(drawn, release, "memory for a drawing").get();
}

// What link-grammar last complained about. It tells the reason of a failure only this way.
std::string complaint;

void remember(lg_errinfo* info, void*) {
  if (info->severity > lg_Error) return;  // warnings and gossip
  complaint = info->text;
  while (!complaint.empty() && std::isspace(static_cast<unsigned char>(complaint.back()))) {
    complaint.pop_back();
  }
}

[[noreturn]] void fail(const std::string& what) {
  throw std::invalid_argument("link-grammar " + what + (complaint.empty() ? "" : ": " + complaint));
}

class Parser {
 public:
  Parser()
      : dictionary_(owned(dictionary_create_lang("en"), dictionary_delete, "English dictionary")),
        options_(owned(parse_options_create(), parse_options_delete, "parse options")) {
    parse_options_set_verbosity(options_.get(), 0);
    parse_options_set_linkage_limit(options_.get(), linkages_max);
    parse_options_set_max_parse_time(options_.get(), -1);  // no limit: Katamari's hold
    parse_options_set_max_memory(options_.get(), -1);
  }

  // The best linkage of `sentence`, or an object without words if there is none at all.
  Object linkage(const std::string& sentence) {
    const auto parsed = parse(sentence);
    const int found = sentence_num_valid_linkages(parsed.get());
    Object result = {{"linkages", found},
                   {"nulls", sentence_null_count(parsed.get())},
                   {"words", json::array()},
                   {"links", json::array()},
                   {"diagram", ""},
                   {"tree", ""}};
    if (found == 0) return result;

    const auto best =
        owned(linkage_create(0, parsed.get(), options_.get()), linkage_delete, "linkage");
    for (std::size_t word = 0; word < linkage_get_num_words(best.get()); ++word) {
      result["words"].push_back(linkage_get_word(best.get(), word));
    }
    for (std::size_t link = 0; link < linkage_get_num_links(best.get()); ++link) {
      result["links"].push_back({{"label", linkage_get_link_label(best.get(), link)},
                                 {"left", linkage_get_link_lword(best.get(), link)},
                                 {"right", linkage_get_link_rword(best.get(), link)}});
    }
    result["diagram"] = text(linkage_print_diagram(best.get(), true, diagram_columns),
                             linkage_free_diagram);
    result["tree"] = text(linkage_print_constituent_tree(best.get(), SINGLE_LINE),
                          linkage_free_constituent_tree_str);
    return result;
  }

 private:
  using OwnedSentence = std::unique_ptr<Sentence_s, void (*)(Sentence)>;

  // First with every word in its place; if that fails, with as few words left out as will do.
  OwnedSentence parse(const std::string& sentence) {
    complaint.clear();
    const char* visible = sentence.c_str();
    while (*visible > 0 && *visible <= ' ') ++visible;
    // link-grammar aborts on a sentence without a word.
    if (*visible == '\0') throw std::invalid_argument("the sentence is empty");
    OwnedSentence parsed =
        owned(sentence_create(visible, dictionary_.get()), sentence_delete, "sentence");
    parse_options_set_min_null_count(options_.get(), 0);
    parse_options_set_max_null_count(options_.get(), 0);
    parse_options_set_islands_ok(options_.get(), false);
    if (sentence_split(parsed.get(), options_.get()) < 0) {
      fail("cannot split the sentence into words");
    }
    const int found = sentence_parse(parsed.get(), options_.get());
    if (found < 0) fail("cannot parse the sentence");
    if (found > 0 && sentence_num_valid_linkages(parsed.get()) > 0) return parsed;

    parse_options_set_min_null_count(options_.get(), 1);
    parse_options_set_max_null_count(options_.get(), sentence_length(parsed.get()));
    parse_options_set_islands_ok(options_.get(), true);
    if (sentence_parse(parsed.get(), options_.get()) < 0) fail("cannot parse the sentence");
    return parsed;
  }

  std::unique_ptr<Dictionary_s, void (*)(Dictionary)> dictionary_;
  std::unique_ptr<Parse_Options_s, int (*)(Parse_Options)> options_;
};

// "link-grammar-5.12.0" -> "5.12.0"
std::string grammar_version() {
  const std::string version = linkgrammar_get_version();
  return version.substr(version.rfind('-') + 1);
}

}  // namespace

int main() {
  katamari::Worker worker("parse", {{"grammar", grammar_version()}});
  worker.tag("en");
  // The dictionary is in UTF-8, whatever the environment says.
  if (std::setlocale(LC_CTYPE, "C.UTF-8") == nullptr) {
    std::fputs("parser: this system has no locale C.UTF-8\n", stderr);
    return EXIT_FAILURE;
  }
  lg_error_set_handler(remember, nullptr);
  Parser parser;
  // It could be called idempotent: it changes nothing. But a sentence that kills one parser kills
  // the next two as well, so it is better not tried again.
  worker.function("linkage", "The best linkage of an English sentence: its words, the links "
                  "between them, a diagram, and a tree of its constituents.",
                  {{"text", "one sentence"}},
                  [&parser](std::string text) { return parser.linkage(text); });
  return worker.run();
}
