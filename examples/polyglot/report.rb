# frozen_string_literal: true

# A report in several languages, each line sent as soon as it is there.

require "katamari"

Katamari.worker do
  kind "report"

  handle :lines, doc: "One line for each language.", result: :string,
                 parameters: { words: "[object]", languages: "[string]" } do |words:, languages:, &emit|
    languages.each do |language|
      emit.call("#{language}: #{call('say.words', words: words, language: language)}")
    end
  end
end
