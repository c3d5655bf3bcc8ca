# frozen_string_literal: true

require_relative "lib/katamari/version"

Gem::Specification.new do |gem|
  gem.name = "katamari"
  gem.version = Katamari::VERSION
  gem.summary = "The Ruby chassis of Katamari: makes a Ruby program a worker"
  gem.authors = ["The Katamari authors"]
  gem.licenses = %w[MIT Apache-2.0]
  gem.required_ruby_version = ">= 2.7"
  gem.files = Dir.glob(%w[lib/**/*.rb bin/* README.md LICENSE-*], base: __dir__)
  gem.bindir = "bin"
  gem.executables = ["katamari-rack"]
end
