// What scripts/observe-tools builds Jaeger from; the old name of sarama must be kept to the version that has it.
module duka.test/jaeger

go 1.23

require github.com/jaegertracing/jaeger v1.62.0

replace github.com/Shopify/sarama => github.com/Shopify/sarama v1.33.0
