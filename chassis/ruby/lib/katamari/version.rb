# frozen_string_literal: true

module Katamari
  VERSION = "0.1.0"
end
