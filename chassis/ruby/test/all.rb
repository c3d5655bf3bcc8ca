# frozen_string_literal: true

# Runs every test of the chassis: ruby chassis/ruby/test/all.rb

Dir[File.join(__dir__, "test_*.rb")].each { |file| require file }
