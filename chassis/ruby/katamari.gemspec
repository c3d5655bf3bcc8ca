# frozen_string_literal: true

require_relative "lib/katamari/version"

Gem::Specification.new do |gem|
  gem.name = "katamari"
  gem.version = Katamari::VERSION
  gem.summary = "Makes a Ruby program a worker of Katamari"
  gem.description = "Functions of a Ruby program, called from anywhere in a cluster: with " \
                    "deadlines, cancellation, streams both ways and calls of other programs. " \
                    "Serves Rack applications, too."
  gem.authors = ["The Katamari authors"]
  gem.licenses = %w[MIT Apache-2.0]
  gem.homepage = "https://example.invalid/katamari"
  gem.metadata = { "source_code_uri" => gem.homepage, "rubygems_mfa_required" => "true" }
  gem.required_ruby_version = ">= 2.7"
  gem.files = Dir.glob(%w[lib/**/*.rb bin/* README.md LICENSE-*], base: __dir__)
  gem.bindir = "bin"
  gem.executables = ["katamari-rack"]
end
